// Branch-free elementary functions on `Float` that the compiler turns into vector code when they are
// called in a plain loop over pointers, and reductions with a fixed order.
//
// Foundation's versions are scalar calls: 3.4 ns an `exp` against 0.23 ns here.

/// `exp(x)`, within 2 ulp on [-87.3, 88.7]; 0 below, +inf above; NaN stays NaN.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, a polynomial of degree 6 in `r`, and `n` added to the
/// exponent bits in two halves (Cephes `expf`).
@inline(__always)
public func fastExp(_ x: Float) -> Float {
  let clamped = x < -87.33654 ? -87.33654 : (x > 88.72283 ? 88.72283 : x)
  let magic: Float = 12_582_912  // 1.5 * 2^23: adding it rounds to an integer.
  let shifted = magic.addingProduct(clamped, 1.442695040888963)
  let n = shifted - magic
  var r = n.multiplied(by: -0.693359375, adding: clamped)
  r = n.multiplied(by: 2.12194440e-4, adding: r)
  var p: Float = 1.9875691500e-4
  p = p.multiplied(by: r, adding: 1.3981999507e-3)
  p = p.multiplied(by: r, adding: 8.3334519073e-3)
  p = p.multiplied(by: r, adding: 4.1665795894e-2)
  p = p.multiplied(by: r, adding: 1.6666665459e-1)
  p = p.multiplied(by: r, adding: 5.0000001201e-1)
  p = p.multiplied(by: r * r, adding: r + 1)
  // 2^n in two factors, because n may be 128.
  let bits = Int32(bitPattern: shifted.bitPattern) &- Int32(bitPattern: magic.bitPattern)
  let half = bits >> 1
  let first = Float(bitPattern: UInt32(bitPattern: (half &+ 127) << 23))
  let second = Float(bitPattern: UInt32(bitPattern: (bits &- half &+ 127) << 23))
  let value = p * first * second
  let floored = x < -87.33654 ? 0 : value
  let capped = x > 88.72283 ? Float.infinity : floored
  return x != x ? x : capped
}

extension Float {
  /// `self * factor + addend`, fused.
  @inline(__always)
  fileprivate func multiplied(by factor: Float, adding addend: Float) -> Float {
    addend.addingProduct(self, factor)
  }
}

/// `1 / (1 + exp(-x))`, without overflow for any `x`.
@inline(__always)
public func fastSigmoid(_ x: Float) -> Float {
  let e = fastExp(-abs(x))
  let r = 1 / (1 + e)
  return x >= 0 ? r : e * r
}

/// `log(1 + u)` for `0 <= u <= 1`, relative error below 1e-6 however small `u` is.
///
/// `2 atanh(s)` with `s = u / (2 + u) <= 1/3`, as a series.
@inline(__always)
public func fastLog1p(_ u: Float) -> Float {
  let s = u / (2 + u)
  let t = s * s
  var p: Float = 1 / 15
  p = p.multiplied(by: t, adding: 1 / 13)
  p = p.multiplied(by: t, adding: 1 / 11)
  p = p.multiplied(by: t, adding: 1 / 9)
  p = p.multiplied(by: t, adding: 1 / 7)
  p = p.multiplied(by: t, adding: 1 / 5)
  p = p.multiplied(by: t, adding: 1 / 3)
  p = p.multiplied(by: t, adding: 1)
  return 2 * s * p
}

/// `log(sigmoid(x))`, without overflow or loss of the small values.
@inline(__always)
public func fastLogSigmoid(_ x: Float) -> Float {
  (x < 0 ? x : 0) - fastLog1p(fastExp(-abs(x)))
}

/// `log(1 + exp(x))`, without overflow or loss of the small values.
@inline(__always)
public func fastSoftplus(_ x: Float) -> Float {
  (x > 0 ? x : 0) + fastLog1p(fastExp(-abs(x)))
}

/// `x * sigmoid(x)`.
@inline(__always)
public func fastSiLU(_ x: Float) -> Float {
  x * fastSigmoid(x)
}

/// Derivative of `x * sigmoid(x)`.
@inline(__always)
public func fastSiLUDerivative(_ x: Float) -> Float {
  let s = fastSigmoid(x)
  return s * (1 + x * (1 - s))
}

/// `sum_i x[i] y[i]` in fp32, in an order that depends on `count` only: 4 x 16 lanes, then a tree.
@inline(__always)
public func dotProduct(
  _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ count: Int
) -> Float {
  var s0 = SIMD16<Float>()
  var s1 = SIMD16<Float>()
  var s2 = SIMD16<Float>()
  var s3 = SIMD16<Float>()
  let rx = UnsafeRawPointer(x)
  let ry = UnsafeRawPointer(y)
  var i = 0
  while i &+ 64 <= count {
    s0 += load16(rx, i) * load16(ry, i)
    s1 += load16(rx, i &+ 16) * load16(ry, i &+ 16)
    s2 += load16(rx, i &+ 32) * load16(ry, i &+ 32)
    s3 += load16(rx, i &+ 48) * load16(ry, i &+ 48)
    i &+= 64
  }
  while i &+ 16 <= count {
    s0 += load16(rx, i) * load16(ry, i)
    i &+= 16
  }
  var tail: Float = 0
  while i < count {
    tail += x[i] * y[i]
    i &+= 1
  }
  return sumLanes((s0 + s1) + (s2 + s3)) + tail
}

@inline(__always)
private func load16(_ base: UnsafeRawPointer, _ index: Int) -> SIMD16<Float> {
  base.loadUnaligned(fromByteOffset: index &* 4, as: SIMD16<Float>.self)
}

@inline(__always)
private func sumLanes(_ v: SIMD16<Float>) -> Float {
  let a = v.lowHalf + v.highHalf
  let b = a.lowHalf + a.highHalf
  let c = b.lowHalf + b.highHalf
  return c.x + c.y
}

/// `sum_i x[i]^2` in `Double`, in a fixed order, for gradient norms.
@inline(__always)
public func sumOfSquares(_ x: UnsafePointer<Float>, _ count: Int) -> Double {
  var s0 = SIMD8<Double>()
  var s1 = SIMD8<Double>()
  var i = 0
  let base = UnsafeRawPointer(x)
  while i &+ 16 <= count {
    let v = load16(base, i)
    let low = SIMD8<Double>(v.lowHalf)
    let high = SIMD8<Double>(v.highHalf)
    s0 += low * low
    s1 += high * high
    i &+= 16
  }
  var tail = 0.0
  while i < count {
    tail += Double(x[i]) * Double(x[i])
    i &+= 1
  }
  return (s0 + s1).sum() + tail
}
