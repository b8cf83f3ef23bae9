// RMSNorm of a gated value, in Mamba2's order: the gate first, then the norm.
//
//   s = x silu(z),   y = s * rstd * w,   rstd = 1 / sqrt(mean(s^2) + eps)
//
// `R` rows, `H` groups of a row that are normed apart, `V` width of a group. (`gatedHeadNormForward`
// has the other order: norm first, then gate.)

/// `y = rmsnorm(x * silu(gate)) * weight` over each group of a row.
///
/// - Parameters:
///   - x: `[R, H, V]`.
///   - gate: `[R, H, V]` before the SiLU.
///   - weight: `[H, V]`.
///   - y: `[R, H, V]`, overwritten.
///   - rstd: `[R, H]`, overwritten: what backward needs.
///   - dims: sizes and epsilon.
public func gatedRMSNormForward(
  _ x: Floats, gate: Floats, weight: Floats, into y: Floats, rstd: Floats, dims: HeadNormDims
) {
  let tiles = RowTiles(dims.rows)
  parallelFor(tiles.count, (x, gate, weight, y, rstd, tiles, dims)) { job, tile in
    let (x, gate, weight, y, rstd, tiles, dims) = job
    let width = dims.width
    for row in tiles[tile] {
      for head in 0..<dims.heads {
        let index = row * dims.heads + head
        let (x, gate, y) = (x + index * width, gate + index * width, y + index * width)
        let weight = weight + head * width
        for j in 0..<width { y[j] = x[j] * fastSiLU(gate[j]) }
        let r = 1 / (dotProduct(y, y, width) / Float(width) + dims.epsilon).squareRoot()
        rstd[index] = r
        for j in 0..<width { y[j] *= r * weight[j] }
      }
    }
  }
}

/// Floats of scratch that `gatedRMSNormBackward` needs.
public func gatedRMSNormScratchCount(_ dims: HeadNormDims) -> Int {
  RowTiles(dims.rows).count * (dims.heads + 1) * dims.width
}

/// Gradients of `gatedRMSNormForward`.
///
/// `ds = rstd (dy w - s rstd^2 mean(dy w s))`, `dx = ds silu(z)`, `dz = ds x silu'(z)`.
///
/// - Parameters:
///   - dy: `[R, H, V]`.
///   - x: as given to the forward pass.
///   - gate: as given to the forward pass.
///   - weight: `[H, V]`.
///   - rstd: as the forward pass left it.
///   - dx: overwritten with the gradient of `x`; may be `dy` or `x` itself.
///   - dgate: overwritten with the gradient of `gate`; may be `gate` itself.
///   - dweight: `[H, V]`, added to; nil for a weight that is not trained.
///   - scratch: `gatedRMSNormScratchCount(dims)` floats.
///   - dims: sizes and epsilon.
public func gatedRMSNormBackward(
  _ dy: Floats, x: Floats, gate: Floats, weight: Floats, rstd: Floats, into dx: Floats,
  dgate: Floats, dweight: Floats?, scratch: Floats, dims: HeadNormDims
) {
  let tiles = RowTiles(dims.rows)
  let all = dims.heads * dims.width
  let job = (dy, x, gate, weight, rstd, dx, dgate, scratch, scratch + tiles.count * all, dims)
  parallelFor(tiles.count, job) { job, tile in
    let (dy, x, gate, weight, rstd, dx, dgate, partials, lines, dims) = job
    let (width, all) = (dims.width, dims.heads * dims.width)
    let (partial, gated) = (partials + tile * all, lines + tile * width)
    partial.update(repeating: 0, count: all)
    for row in RowTiles(dims.rows)[tile] {
      for head in 0..<dims.heads {
        let index = row * dims.heads + head
        let (x, dy, dx) = (x + index * width, dy + index * width, dx + index * width)
        let (gate, dgate) = (gate + index * width, dgate + index * width)
        let (weight, partial) = (weight + head * width, partial + head * width)
        let r = rstd[index]
        for j in 0..<width { gated[j] = x[j] * fastSiLU(gate[j]) }
        for j in 0..<width { partial[j] += dy[j] * gated[j] * r }
        let c = r * r * r * weightedDot(dy, gated, weight, width) / Float(width)
        for j in 0..<width {
          let (z, ds) = (gate[j], r * dy[j] * weight[j] - c * gated[j])
          let s = fastSigmoid(z)
          dgate[j] = ds * x[j] * s * (1 + z * (1 - s))
          dx[j] = ds * z * s
        }
      }
    }
  }
  guard let dweight else { return }
  addTilePartials(scratch, tiles: tiles.count, width: all, accumulatingInto: dweight)
}
