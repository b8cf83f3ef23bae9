// Causal depthwise convolution followed by SiLU, with a tail of earlier inputs as its state.
//
//   u[t] = bias + sum_j w[j] x[t - (W - 1) + j],   y[t] = silu(u[t])
//
// `B` sequences, `T` tokens, `D` channels, `W` taps. Inputs at negative times come from the tail
// `[B, W - 1, D]`, whose row i is the input at time i - (W - 1).

/// Sizes of a causal convolution.
public struct ConvolutionDims {
  /// Sequences, `B`.
  public var batch: Int
  /// Tokens of each sequence, `T`.
  public var length: Int
  /// Channels, `D`.
  public var channels: Int
  /// Taps, `W`.
  public var taps: Int

  /// Describes inputs `[batch, length, channels]`.
  public init(batch: Int, length: Int, channels: Int, taps: Int) {
    self.batch = batch
    self.length = length
    self.channels = channels
    self.taps = taps
  }

  /// Floats of a tail: `B * (W - 1) * D`.
  public var tailCount: Int { batch * (taps - 1) * channels }

  /// Floats of scratch that forward and backward need: the transposed weight and, for backward, the
  /// tiles' partial sums and the gradient of `u`.
  public var scratchCount: Int {
    let tiles = batch * RowTiles(length).count
    return taps * channels + tiles * (taps + 1) * channels + batch * length * channels
  }

  /// The input row at time `t` of sequence `b`, from the tail when `t < 0`.
  @inline(__always)
  fileprivate func row(_ x: Floats, _ tail: Floats, _ b: Int, _ t: Int) -> Floats {
    t >= 0
      ? x + (b * length + t) * channels : tail + (b * (taps - 1) + t + taps - 1) * channels
  }

  /// Sequence and times of a tile.
  @inline(__always)
  fileprivate func tile(_ index: Int) -> (Int, Range<Int>) {
    let tiles = RowTiles(length)
    return (index / tiles.count, tiles[index % tiles.count])
  }

  fileprivate var tileCount: Int { batch * RowTiles(length).count }
}

/// The arrays of a convolution.
public struct ConvolutionArrays {
  /// Inputs `[B, T, D]`.
  public var x: Floats
  /// Inputs before the first, `[B, W - 1, D]`.
  public var tail: Floats
  /// `[D, W]`, tap `W - 1` the present input (PyTorch's layout, its middle dimension of 1 left out).
  public var weight: Floats
  /// `[D]`, or nil.
  public var bias: Floats?
  /// How far back each row may look.
  public var history: DocumentHistory

  /// Names the arrays.
  public init(
    x: Floats, tail: Floats, weight: Floats, bias: Floats?, history: DocumentHistory = .none
  ) {
    self.x = x
    self.tail = tail
    self.weight = weight
    self.bias = bias
    self.history = history
  }
}

/// `y = silu(conv(x))`; the new tail is written to `nextTail`, which may be `tail`'s own memory.
///
/// - Parameters:
///   - arrays: inputs, tail and weights.
///   - y: `[B, T, D]`, overwritten.
///   - nextTail: `[B, W - 1, D]`, overwritten; nil when not wanted.
///   - scratch: `dims.scratchCount` floats.
///   - dims: the sizes.
public func causalConvolutionForward(
  _ arrays: ConvolutionArrays, into y: Floats, nextTail: Floats?, scratch: Floats,
  dims: ConvolutionDims
) {
  transposeTaps(arrays.weight, into: scratch, dims: dims)
  parallelFor(dims.tileCount, (arrays, y, scratch, dims)) { job, tile in
    let (arrays, y, taps, dims) = job
    let (b, times) = dims.tile(tile)
    for t in times {
      let target = y + (b * dims.length + t) * dims.channels
      preActivation(arrays, taps, b, t, into: target, dims: dims)
      for d in 0..<dims.channels { target[d] = fastSiLU(target[d]) }
    }
  }
  if let nextTail { writeTail(arrays, into: nextTail, dims: dims) }
}

@inline(__always)
private func preActivation(
  _ arrays: ConvolutionArrays, _ taps: Floats, _ b: Int, _ t: Int, into u: Floats,
  dims: ConvolutionDims
) {
  if let bias = arrays.bias {
    for d in 0..<dims.channels { u[d] = bias[d] }
  } else {
    for d in 0..<dims.channels { u[d] = 0 }
  }
  for j in arrays.history.firstTap(at: b * dims.length + t, taps: dims.taps)..<dims.taps {
    let x = dims.row(arrays.x, arrays.tail, b, t - (dims.taps - 1) + j)
    let w = taps + j * dims.channels
    for d in 0..<dims.channels { u[d] += w[d] * x[d] }
  }
}

private func transposeTaps(_ weight: Floats, into taps: Floats, dims: ConvolutionDims) {
  for j in 0..<dims.taps {
    for d in 0..<dims.channels { taps[j * dims.channels + d] = weight[d * dims.taps + j] }
  }
}

private func writeTail(_ arrays: ConvolutionArrays, into next: Floats, dims: ConvolutionDims) {
  for b in 0..<dims.batch {
    // Ascending, so that a tail that moves inside its own memory is read before it is written.
    for i in 0..<(dims.taps - 1) {
      let source = dims.row(arrays.x, arrays.tail, b, dims.length - (dims.taps - 1) + i)
      (next + (b * (dims.taps - 1) + i) * dims.channels).update(
        from: source, count: dims.channels)
    }
  }
}

/// Gradients of `causalConvolutionForward`.
///
/// - Parameters:
///   - dy: `[B, T, D]`.
///   - arrays: inputs, tail and weights, as in forward.
///   - dx: `[B, T, D]`, overwritten; may be `dy`.
///   - dtail: `[B, W - 1, D]`: in, the gradient of the tail this segment handed on; out, the
///     gradient of the tail it was given.
///   - dweight: `[D, W]`, added to; nil for a weight that is not trained.
///   - dbias: `[D]`, added to; nil without a bias, and for one that is not trained.
///   - scratch: `dims.scratchCount` floats.
///   - dims: the sizes.
public func causalConvolutionBackward(
  _ dy: Floats, _ arrays: ConvolutionArrays, into dx: Floats, dtailInPlace dtail: Floats,
  dweight: Floats?, dbias: Floats?, scratch: Floats, dims: ConvolutionDims
) {
  let taps = scratch
  let partial = taps + dims.taps * dims.channels
  let du = partial + dims.tileCount * (dims.taps + 1) * dims.channels
  transposeTaps(arrays.weight, into: taps, dims: dims)
  parallelFor(dims.tileCount, (dy, arrays, taps, partial, du, dims)) { job, tile in
    let (dy, arrays, taps, partial, du, dims) = job
    let channels = dims.channels
    let (b, times) = dims.tile(tile)
    let sums = partial + tile * (dims.taps + 1) * channels
    for i in 0..<((dims.taps + 1) * channels) { sums[i] = 0 }
    for t in times {
      let row = (b * dims.length + t) * channels
      let u = du + row
      preActivation(arrays, taps, b, t, into: u, dims: dims)
      for d in 0..<channels { u[d] = dy[row + d] * fastSiLUDerivative(u[d]) }
      for j in arrays.history.firstTap(at: b * dims.length + t, taps: dims.taps)..<dims.taps {
        let x = dims.row(arrays.x, arrays.tail, b, t - (dims.taps - 1) + j)
        let sum = sums + j * channels
        for d in 0..<channels { sum[d] += u[d] * x[d] }
      }
      let sum = sums + dims.taps * channels
      for d in 0..<channels { sum[d] += u[d] }
    }
  }
  inputGradient(du, taps, arrays.history, into: dx, dtail: dtail, dims: dims)
  for tile in 0..<dims.tileCount {
    let sums = partial + tile * (dims.taps + 1) * dims.channels
    if let dweight {
      for j in 0..<dims.taps {
        for d in 0..<dims.channels { dweight[d * dims.taps + j] += sums[j * dims.channels + d] }
      }
    }
    if let dbias {
      let sum = sums + dims.taps * dims.channels
      for d in 0..<dims.channels { dbias[d] += sum[d] }
    }
  }
}

/// `dx[t] = sum_j w[j] du[t + (W - 1) - j]`, plus what the next segment says about its tail.
private func inputGradient(
  _ du: Floats, _ taps: Floats, _ history: DocumentHistory, into dx: Floats, dtail: Floats,
  dims: ConvolutionDims
) {
  parallelFor(dims.tileCount, (du, taps, history, dx, dtail, dims)) { job, tile in
    let (du, taps, history, dx, dtail, dims) = job
    let (b, times) = dims.tile(tile)
    for t in times {
      let target = dx + (b * dims.length + t) * dims.channels
      target.update(repeating: 0, count: dims.channels)
      spread(du, taps, history, b, t, accumulatingInto: target, dims: dims)
      let i = t - (dims.length - (dims.taps - 1))
      if i >= 0 {
        let extra = dtail + (b * (dims.taps - 1) + i) * dims.channels
        for d in 0..<dims.channels { target[d] += extra[d] }
      }
    }
  }
  // Now the tail this segment was given. Its row i went on into row i - T of the tail handed on, if
  // the segment is shorter than the tail; descending, so that those rows are read before written.
  let tail = dims.taps - 1
  for b in 0..<dims.batch {
    for i in (0..<tail).reversed() {
      let target = dtail + (b * tail + i) * dims.channels
      if i >= dims.length {
        target.update(
          from: dtail + (b * tail + i - dims.length) * dims.channels,
          count: dims.channels)
      } else {
        target.update(repeating: 0, count: dims.channels)
      }
      spread(du, taps, history, b, i - tail, accumulatingInto: target, dims: dims)
    }
  }
}

/// `target += sum_j w[j] du[t + (W - 1) - j]` over the times of this segment.
@inline(__always)
private func spread(
  _ du: Floats, _ taps: Floats, _ history: DocumentHistory, _ b: Int, _ t: Int,
  accumulatingInto target: Floats, dims: ConvolutionDims
) {
  for j in 0..<dims.taps {
    let at = t + dims.taps - 1 - j
    guard at >= 0 && at < dims.length else { continue }
    guard j >= history.firstTap(at: b * dims.length + at, taps: dims.taps) else { continue }
    let u = du + (b * dims.length + at) * dims.channels
    let w = taps + j * dims.channels
    for d in 0..<dims.channels { target[d] += w[d] * u[d] }
  }
}
