// RMSNorm (Zhang and Sennrich, 2019), over rows and, with a gate, over the heads of a row.
//
//   y = x * rstd * w,   rstd = 1 / sqrt(mean(x^2) + eps)
//
// `R` rows, `D` width.

/// `y = rmsnorm(x) * weight`.
///
/// - Parameters:
///   - x: `[R, D]`.
///   - weight: `[D]`.
///   - y: `[R, D]`, overwritten.
///   - rstd: `[R]`, overwritten: what backward needs.
///   - rows: number of rows.
///   - width: numbers in a row.
///   - epsilon: added to the mean square.
public func rmsNormForward(
  _ x: Floats, weight: Floats, into y: Floats, rstd: Floats, rows: Int, width: Int, epsilon: Float
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (x, weight, y, rstd, tiles, width, epsilon)) { job, tile in
    let (x, weight, y, rstd, tiles, width, epsilon) = job
    for row in tiles[tile] {
      let source = x + row * width
      let target = y + row * width
      let r = 1 / (dotProduct(source, source, width) / Float(width) + epsilon).squareRoot()
      rstd[row] = r
      for j in 0..<width { target[j] = source[j] * r * weight[j] }
    }
  }
}

/// `y = x * rstd * weight` from a stored `rstd`: the forward value again, for backward.
public func rmsNormRecompute(
  _ x: Floats, weight: Floats, rstd: Floats, into y: Floats, rows: Int, width: Int
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (x, weight, y, rstd, tiles, width)) { job, tile in
    let (x, weight, y, rstd, tiles, width) = job
    for row in tiles[tile] {
      let source = x + row * width
      let target = y + row * width
      let r = rstd[row]
      for j in 0..<width { target[j] = source[j] * r * weight[j] }
    }
  }
}

/// Gradients of `rmsNormForward`.
///
/// `dx = rstd (dy w - x rstd^2 mean(dy w x))`, `dw = sum over rows of dy x rstd`.
///
/// - Parameters:
///   - dy: `[R, D]`.
///   - x: as in forward.
///   - weight: `[D]`, as in forward.
///   - rstd: what forward stored.
///   - dx: `[R, D]`, the gradient of `x`; unless added to, it may be `dy` itself.
///   - accumulate: whether `dx` is added to.
///   - dweight: `[D]`, added to; nil for a weight that is not trained.
///   - scratch: at least `RowTiles(R).count * D` floats.
///   - rows: number of rows.
///   - width: numbers in a row.
public func rmsNormBackward(
  _ dy: Floats, x: Floats, weight: Floats, rstd: Floats, into dx: Floats, accumulate: Bool,
  dweight: Floats?, scratch: Floats, rows: Int, width: Int
) {
  let tiles = RowTiles(rows)
  let job = (dy, x, weight, rstd, dx, accumulate, scratch, tiles, width)
  parallelFor(tiles.count, job) { job, tile in
    let (dy, x, weight, rstd, dx, accumulate, scratch, tiles, width) = job
    let partial = scratch + tile * width
    for j in 0..<width { partial[j] = 0 }
    for row in tiles[tile] {
      let x = x + row * width
      let dy = dy + row * width
      let dx = dx + row * width
      let r = rstd[row]
      let mean = weightedDot(dy, x, weight, width) / Float(width)
      let c = r * r * r * mean
      for j in 0..<width { partial[j] += dy[j] * x[j] * r }
      if accumulate {
        for j in 0..<width { dx[j] += r * dy[j] * weight[j] - c * x[j] }
      } else {
        for j in 0..<width { dx[j] = r * dy[j] * weight[j] - c * x[j] }
      }
    }
  }
  guard let dweight else { return }
  addTilePartials(scratch, tiles: tiles.count, width: width, accumulatingInto: dweight)
}

/// `sum_i a[i] b[i] c[i]` in a fixed order.
@inline(__always)
func weightedDot(_ a: Floats, _ b: Floats, _ c: Floats, _ count: Int) -> Float {
  var sum = SIMD16<Float>()
  let (ra, rb, rc) = (UnsafeRawPointer(a), UnsafeRawPointer(b), UnsafeRawPointer(c))
  var i = 0
  while i &+ 16 <= count {
    sum +=
      ra.loadUnaligned(fromByteOffset: i &* 4, as: SIMD16<Float>.self)
      * rb.loadUnaligned(fromByteOffset: i &* 4, as: SIMD16<Float>.self)
      * rc.loadUnaligned(fromByteOffset: i &* 4, as: SIMD16<Float>.self)
    i &+= 16
  }
  var tail: Float = 0
  while i < count {
    tail += a[i] * b[i] * c[i]
    i &+= 1
  }
  return sum.sum() + tail
}

/// Sizes of a norm over the heads of each row.
public struct HeadNormDims {
  /// Rows, `R`.
  public var rows: Int
  /// Heads a row, `H`.
  public var heads: Int
  /// Width of a head, `V`.
  public var width: Int
  /// Added to the mean square.
  public var epsilon: Float

  /// Describes `[rows, heads, width]`.
  public init(rows: Int, heads: Int, width: Int, epsilon: Float) {
    self.rows = rows
    self.heads = heads
    self.width = width
    self.epsilon = epsilon
  }
}

/// `y = rmsnorm_per_head(x) * weight * silu(gate)`.
///
/// - Parameters:
///   - x: `[R, H, V]`.
///   - weight: `[V]`, shared by the heads; nil for ones.
///   - gate: `[R, H, V]` before the SiLU; nil for no gate.
///   - y: `[R, H, V]`, overwritten.
///   - rstd: `[R, H]`, overwritten.
///   - dims: the sizes.
public func gatedHeadNormForward(
  _ x: Floats, weight: Floats?, gate: Floats?, into y: Floats, rstd: Floats, dims: HeadNormDims
) {
  let tiles = RowTiles(dims.rows)
  parallelFor(tiles.count, (x, weight, gate, y, rstd, tiles, dims)) { job, tile in
    let (x, weight, gate, y, rstd, tiles, dims) = job
    let width = dims.width
    for head in (tiles[tile].lowerBound * dims.heads)..<(tiles[tile].upperBound * dims.heads) {
      let x = x + head * width
      let y = y + head * width
      let r = 1 / (dotProduct(x, x, width) / Float(width) + dims.epsilon).squareRoot()
      rstd[head] = r
      if let weight {
        for j in 0..<width { y[j] = x[j] * r * weight[j] }
      } else {
        for j in 0..<width { y[j] = x[j] * r }
      }
      if let gate {
        let gate = gate + head * width
        for j in 0..<width { y[j] *= fastSiLU(gate[j]) }
      }
    }
  }
}

/// Gradients of `gatedHeadNormForward`.
///
/// - Parameters:
///   - dy: `[R, H, V]`.
///   - x: as in forward.
///   - weight: `[V]`, as in forward.
///   - gate: as in forward.
///   - rstd: what forward stored.
///   - dx: overwritten with the gradient of `x`; may be `dy` or `x` itself.
///   - dgate: overwritten with the gradient of `gate`; may be `gate` itself; nil without a gate.
///   - dweight: `[V]`, added to; nil without a weight, or for one that is not trained.
///   - scratch: at least `RowTiles(R).count * V + RowTiles(R).count * V` floats.
///   - dims: the sizes.
public func gatedHeadNormBackward(
  _ dy: Floats, x: Floats, weight: Floats?, gate: Floats?, rstd: Floats, into dx: Floats,
  dgate: Floats?, dweight: Floats?, scratch: Floats, dims: HeadNormDims
) {
  let tiles = RowTiles(dims.rows)
  let job = (dy, x, weight, gate, rstd, dx, dgate, scratch, tiles, dims)
  parallelFor(tiles.count, job) { job, tile in
    let (dy, x, weight, gate, rstd, dx, dgate, scratch, tiles, dims) = job
    let width = dims.width
    let partial = scratch + tile * 2 * width
    let dnormed = partial + width
    for j in 0..<width { partial[j] = 0 }
    for head in (tiles[tile].lowerBound * dims.heads)..<(tiles[tile].upperBound * dims.heads) {
      let x = x + head * width
      let dy = dy + head * width
      let dx = dx + head * width
      let r = rstd[head]
      if let gate, let dgate {
        let gate = gate + head * width
        let dgate = dgate + head * width
        for j in 0..<width {
          let z = gate[j]
          let normed = x[j] * r * (weight?[j] ?? 1)
          dnormed[j] = dy[j] * fastSiLU(z)
          dgate[j] = dy[j] * normed * fastSiLUDerivative(z)
        }
      } else {
        for j in 0..<width { dnormed[j] = dy[j] }
      }
      for j in 0..<width { partial[j] += dnormed[j] * x[j] * r }
      if let weight {
        for j in 0..<width { dnormed[j] *= weight[j] }
      }
      let c = r * r * r * dotProduct(dnormed, x, width) / Float(width)
      for j in 0..<width { dx[j] = r * dnormed[j] - c * x[j] }
    }
  }
  guard let dweight else { return }
  // The tiles' partial rows are two widths apart.
  parallelFor(1, (scratch, tiles.count, dims.width, dweight)) { job, _ in
    let (scratch, tiles, width, dweight) = job
    for tile in 0..<tiles {
      for j in 0..<width { dweight[j] += scratch[tile * 2 * width + j] }
    }
  }
}
