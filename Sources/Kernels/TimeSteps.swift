// Mamba2's time steps `dt = clamp(softplus(z + bias), lower, upper)`, the decay that goes with them,
// and the `D` term past the recurrence.

/// The time steps of each head.
///
/// - Parameters:
///   - z: `[rows, heads]`.
///   - bias: `[heads]`.
///   - dt: `[rows, heads]`, overwritten; may be `z`.
///   - rows: tokens.
///   - heads: heads.
///   - limit: bounds of the steps, `time_step_limit`.
public func timeStepForward(
  _ z: Floats, bias: Floats, into dt: Floats, rows: Int, heads: Int, limit: ClosedRange<Float>
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (z, bias, dt, tiles, heads, limit)) { job, tile in
    let (z, bias, dt, tiles, heads, limit) = job
    let (lower, upper) = (limit.lowerBound, limit.upperBound)
    for row in tiles[tile] {
      let (z, dt) = (z + row * heads, dt + row * heads)
      for h in 0..<heads {
        let step = fastSoftplus(z[h] + bias[h])
        dt[h] = step < lower ? lower : (step > upper ? upper : step)
      }
    }
  }
}

/// Multiplies `ddt` by `d dt / d z = sigmoid(z + bias)`, zero where a bound holds.
///
/// As in PyTorch's `clamp`, a step exactly at a bound passes its gradient.
public func timeStepBackward(
  _ z: Floats, bias: Floats, inPlace ddt: Floats, rows: Int, heads: Int,
  limit: ClosedRange<Float>
) {
  let tiles = RowTiles(rows)
  parallelFor(tiles.count, (z, bias, ddt, tiles, heads, limit)) { job, tile in
    let (z, bias, ddt, tiles, heads, limit) = job
    let (lower, upper) = (limit.lowerBound, limit.upperBound)
    for row in tiles[tile] {
      let (z, ddt) = (z + row * heads, ddt + row * heads)
      for h in 0..<heads {
        let x = z[h] + bias[h]
        let step = fastSoftplus(x)
        let isFree = step >= lower && step <= upper
        ddt[h] = isFree ? ddt[h] * fastSigmoid(x) : 0
      }
    }
  }
}

/// `rate = -exp(A_log)`, the log gate of one unit of time.
public func decayRates(_ aLog: Floats, into rate: Floats, heads: Int) {
  for h in 0..<heads { rate[h] = -fastExp(aLog[h]) }
}

/// `y[t, h, :] += D[h] x[t, h, :]`: what reaches the output without the recurrence.
///
/// - Parameters:
///   - x: `[B, T, H, P]`, rows `inputStride` apart.
///   - weight: `D`, `[H]`.
///   - y: `[B, T, H, P]`, added to.
///   - dims: sizes.
public func skipForward(
  _ x: Floats, weight: Floats, accumulatingInto y: Floats, dims: SSDDims
) {
  let tiles = RowTiles(dims.rows)
  parallelFor(tiles.count, (x, weight, y, tiles, dims)) { job, tile in
    let (x, weight, y, tiles, dims) = job
    for row in tiles[tile] {
      for head in 0..<dims.heads {
        let x = x + row * dims.inputStride + head * dims.headDim
        let y = y + row * dims.width + head * dims.headDim
        let d = weight[head]
        for p in 0..<dims.headDim { y[p] += d * x[p] }
      }
    }
  }
}

/// Gradients of `skipForward`.
///
/// - Parameters:
///   - dy: `[B, T, H, P]`.
///   - x: as given to the forward pass.
///   - weight: `D`, `[H]`.
///   - dx: `[B, T, H, P]`, rows `inputStride` apart, added to.
///   - dweight: `[H]`, added to; nil for a weight that is not trained.
///   - scratch: at least `RowTiles(B * T).count * H` floats.
///   - dims: sizes.
public func skipBackward(
  _ dy: Floats, x: Floats, weight: Floats, accumulatingInto dx: Floats, dweight: Floats?,
  scratch: Floats, dims: SSDDims
) {
  let tiles = RowTiles(dims.rows)
  parallelFor(tiles.count, (dy, x, weight, dx, scratch, tiles, dims)) { job, tile in
    let (dy, x, weight, dx, scratch, tiles, dims) = job
    let partial = scratch + tile * dims.heads
    partial.update(repeating: 0, count: dims.heads)
    for row in tiles[tile] {
      for head in 0..<dims.heads {
        let offset = row * dims.inputStride + head * dims.headDim
        let (x, dx) = (x + offset, dx + offset)
        let dy = dy + row * dims.width + head * dims.headDim
        let d = weight[head]
        partial[head] += dotProduct(x, dy, dims.headDim)
        for p in 0..<dims.headDim { dx[p] += d * dy[p] }
      }
    }
  }
  guard let dweight else { return }
  addTilePartials(scratch, tiles: tiles.count, width: dims.heads, accumulatingInto: dweight)
}
