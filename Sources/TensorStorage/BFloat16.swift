/// A 16-bit float: the sign, the 8 exponent bits and the upper 7 fraction bits of an fp32.
public struct BFloat16: Sendable, Equatable {
  /// The upper half of the fp32 of the same value.
  public var bitPattern: UInt16

  /// The number with those bits.
  @inlinable @inline(__always)
  public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// The nearest number, ties to even; too large becomes infinity, NaN stays NaN.
  @inlinable @inline(__always)
  public init(rounding value: Float) {
    let bits = value.bitPattern
    let nearest = bits &+ 0x7FFF &+ ((bits >> 16) & 1)
    // A NaN could be rounded up to a zero; its quiet bit keeps it a NaN.
    let isNaN = bits & 0x7FFF_FFFF > 0x7F80_0000
    bitPattern = UInt16(truncatingIfNeeded: (isNaN ? bits | 0x40_0000 : nearest) >> 16)
  }

  /// The same number as an fp32, exactly.
  @inlinable @inline(__always)
  public var value: Float { Float(bitPattern: UInt32(bitPattern) << 16) }

  /// Rounds `count` numbers.
  @inlinable @inline(__always)
  public static func round(
    _ source: UnsafePointer<Float>, count: Int, into target: UnsafeMutablePointer<BFloat16>
  ) {
    for i in 0..<count { target[i] = BFloat16(rounding: source[i]) }
  }

  /// Widens `count` numbers.
  @inlinable @inline(__always)
  public static func widen(
    _ source: UnsafePointer<BFloat16>, count: Int, into target: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { target[i] = source[i].value }
  }
}
