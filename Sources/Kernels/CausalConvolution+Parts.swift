// A convolution over tokens that several ranks share. Part j's tail is what the parts before it saw last:
// every part tells the others its own last `W - 1` inputs, at the end of a block of that many rows, and
// each puts the tails together. A part shorter than `W - 1` passes rows of its own tail on.

/// The last inputs of a part, at the end of its block; rows that it does not have stay as they are.
///
/// - Parameters:
///   - x: inputs `[B, T, D]`.
///   - share: `[B, W - 1, D]`.
///   - dims: the sizes of this part.
public func convolutionShare(_ x: Floats, into share: Floats, dims: ConvolutionDims) {
  let tail = dims.taps - 1
  for b in 0..<dims.batch {
    for i in max(tail - dims.length, 0)..<tail {
      (share + (b * tail + i) * dims.channels).update(
        from: x + (b * dims.length + dims.length - tail + i) * dims.channels, count: dims.channels)
    }
  }
}

/// Blocks of all parts, each a tail or the gradient of one.
public struct ConvolutionShares {
  let base: Floats
  let stride: Int
  let split: SegmentSplit

  /// Names the blocks.
  ///
  /// - Parameters:
  ///   - base: part 0's block `[B, W - 1, D]`.
  ///   - stride: floats from one part's block to the next.
  ///   - split: how many tokens the parts have.
  public init(_ base: Floats, stride: Int, split: SegmentSplit) {
    (self.base, self.stride, self.split) = (base, stride, split)
  }

  /// A row of a part's block.
  @inline(__always)
  fileprivate func row(_ part: Int, _ b: Int, _ i: Int, _ dims: ConvolutionDims) -> Floats {
    base + part * stride + (b * (dims.taps - 1) + i) * dims.channels
  }
}

/// The tail before part `part`, and that after the last part.
///
/// - Parameters:
///   - shares: what `convolutionShare` made of every part.
///   - part: the part whose tail is wanted.
///   - tail: `[B, W - 1, D]`: in, the tail before the first part; out, after the last.
///   - own: `[B, W - 1, D]`, overwritten with the tail before part `part`.
///   - dims: the sizes; the length does not matter.
public func foldConvolutionTails(
  _ shares: ConvolutionShares, part: Int, tailInPlace tail: Floats, into own: Floats,
  dims: ConvolutionDims
) {
  let rows = dims.taps - 1
  for index in 0..<shares.split.parts {
    if index == part { own.update(from: tail, count: dims.tailCount) }
    let length = shares.split[index].count
    for b in 0..<dims.batch {
      // Ascending, so that a row is read before it is written.
      for i in 0..<rows {
        let source =
          i + length < rows
          ? tail + (b * rows + i + length) * dims.channels : shares.row(index, b, i, dims)
        (tail + (b * rows + i) * dims.channels).update(from: source, count: dims.channels)
      }
    }
  }
}

/// The gradient of the tail after part `part`, and that of the tail before the first part.
///
/// - Parameters:
///   - shares: of every part the gradient of its tail as `causalConvolutionBackward` gives it when the
///     gradient of the tail handed on is zero.
///   - part: the part whose gradient is wanted.
///   - dtail: `[B, W - 1, D]`: in, the gradient of the tail after the last part; out, of that before
///     the first.
///   - own: `[B, W - 1, D]`, overwritten with the gradient of the tail after part `part`.
///   - dims: the sizes; the length does not matter.
public func foldConvolutionTailGradients(
  _ shares: ConvolutionShares, part: Int, dtailInPlace dtail: Floats, into own: Floats,
  dims: ConvolutionDims
) {
  let rows = dims.taps - 1
  for index in (0..<shares.split.parts).reversed() {
    if index == part { own.update(from: dtail, count: dims.tailCount) }
    let length = shares.split[index].count
    for b in 0..<dims.batch {
      // Descending, so that a row is read before it is written.
      for i in (0..<rows).reversed() {
        let target = dtail + (b * rows + i) * dims.channels
        let share = shares.row(index, b, i, dims)
        if i >= length {
          let passedOn = dtail + (b * rows + i - length) * dims.channels
          for d in 0..<dims.channels { target[d] = share[d] + passedOn[d] }
        } else {
          target.update(from: share, count: dims.channels)
        }
      }
    }
  }
}

/// Adds the gradient of the tail that a part handed on to the gradients of the inputs it was made of.
///
/// - Parameters:
///   - dtail: `[B, W - 1, D]`.
///   - dx: `[B, T, D]`, added to.
///   - dims: the sizes of this part.
public func addConvolutionTailGradient(
  _ dtail: Floats, accumulatingInto dx: Floats, dims: ConvolutionDims
) {
  let rows = dims.taps - 1
  for b in 0..<dims.batch {
    for i in max(rows - dims.length, 0)..<rows {
      let target = dx + (b * dims.length + dims.length - rows + i) * dims.channels
      let source = dtail + (b * rows + i) * dims.channels
      for d in 0..<dims.channels { target[d] += source[d] }
    }
  }
}
