import Kernels
import TensorStorage

/// What happens to q, k, v or the log gates between their projection and the recurrence: an optional
/// short convolution, an optional elementwise function, and the repetition of shared heads.
struct ChannelTransform {
  /// Heads after repetition.
  var heads: Int
  /// Channels of a head.
  var headDim: Int
  /// Heads that share one projected head; head h reads projected head h / groupSize.
  var groupSize: Int
  /// Taps of the convolution, nil for none.
  var taps: Int?
  /// Function after the convolution, nil for none.
  var function: ElementwiseFunction?
  /// How far back the convolution may look from each row.
  var history = DocumentHistory.none

  /// Channels before repetition.
  var projected: Int { heads / groupSize * headDim }
  /// Channels after repetition.
  var channels: Int { heads * headDim }
  /// Whether the recurrence can read the projection itself.
  var isIdentity: Bool { taps == nil && function == nil && groupSize == 1 }

  /// Floats of the convolution's tail for `batch` sequences.
  func tailCount(batch: Int) -> Int { taps.map { batch * ($0 - 1) * projected } ?? 0 }

  /// The same transformation of rows of several documents.
  func within(_ history: DocumentHistory) -> ChannelTransform {
    var result = self
    result.history = history
    return result
  }

  func convolution(_ dims: SegmentDims) -> ConvolutionDims? {
    taps.map {
      ConvolutionDims(batch: dims.batch, length: dims.length, channels: projected, taps: $0)
    }
  }

  /// Transforms projected values.
  ///
  /// - Parameters:
  ///   - x: projected values `[B, T, projected]`.
  ///   - weight: convolution weight `[projected, taps]`.
  ///   - tail: the convolution's state; moved on when `advancesTail`.
  ///   - advancesTail: whether the tail moves on to the segment's end.
  ///   - dims: the sizes.
  ///   - plan: where scratch and result are taken from.
  /// - Returns: the transformed values `[B, T, channels]`: `x` itself when there is nothing to do.
  func forward(
    _ x: Floats, weight: Floats?, tail: Floats, advancesTail: Bool, dims: SegmentDims,
    plan: inout MemoryPlan
  ) -> Floats {
    if isIdentity { return x }
    let result = plan.take(dims.rows * channels)
    let mark = plan.used
    let y = groupSize == 1 ? result : plan.take(dims.rows * projected)
    runBeforeRepetition(
      x, weight: weight, tail: tail, advancesTail: advancesTail, into: y, dims: dims, plan: &plan)
    if groupSize > 1 {
      repeatHeads(
        y, into: result, rows: dims.rows, heads: heads, headDim: headDim, groupSize: groupSize)
    }
    plan.rewind(to: mark)
    return result
  }

  private func runBeforeRepetition(
    _ x: Floats, weight: Floats?, tail: Floats, advancesTail: Bool, into y: Floats,
    dims: SegmentDims, plan: inout MemoryPlan
  ) {
    var source = x
    if let convolution = convolution(dims), let weight {
      let scratch = plan.take(convolution.scratchCount)
      let arrays = ConvolutionArrays(x: x, tail: tail, weight: weight, bias: nil, history: history)
      causalConvolutionForward(
        arrays, into: y, nextTail: advancesTail ? tail : nil, scratch: scratch, dims: convolution)
      source = y
    }
    let count = dims.rows * projected
    if let function {
      elementwiseForward(function, source, into: y, count: count)
    } else if source != y {
      copy(source, count: count, into: y)
    }
  }

  /// Gradients of `forward`.
  ///
  /// - Parameters:
  ///   - dy: `[B, T, channels]`, used up.
  ///   - x: projected values.
  ///   - weight: convolution weight `[projected, taps]`, nil without one.
  ///   - dweight: its gradient, added to; nil when it is not trained.
  ///   - tail: the convolution's state before the segment.
  ///   - dtail: its gradient, as in `causalConvolutionBackward`.
  ///   - dims: the sizes.
  ///   - plan: where scratch and result are taken from.
  /// - Returns: the gradient of the projected values `[B, T, projected]`; may be `dy` itself.
  func backward(
    _ dy: Floats, x: Floats, weight: Floats?, dweight: Floats?, tail: Floats, dtail: Floats,
    dims: SegmentDims, plan: inout MemoryPlan
  ) -> Floats {
    if isIdentity { return dy }
    var dx = dy
    if groupSize > 1 {
      dx = plan.take(dims.rows * projected)
      sumHeadGroups(
        dy, into: dx, rows: dims.rows, heads: heads, headDim: headDim, groupSize: groupSize)
    }
    let mark = plan.used
    let count = dims.rows * projected
    if let convolution = convolution(dims), let weight {
      let scratch = plan.take(convolution.scratchCount)
      let arrays = ConvolutionArrays(x: x, tail: tail, weight: weight, bias: nil, history: history)
      if let function {
        let y = plan.take(count)
        causalConvolutionForward(
          arrays, into: y, nextTail: nil, scratch: scratch, dims: convolution)
        elementwiseBackward(function, y, inPlace: dx, count: count)
      }
      causalConvolutionBackward(
        dx, arrays, into: dx, dtailInPlace: dtail, dweight: dweight, dbias: nil, scratch: scratch,
        dims: convolution)
    } else if let function {
      elementwiseBackward(function, x, inPlace: dx, count: count)
    }
    plan.rewind(to: mark)
    return dx
  }

  /// Floats that forward and backward take from the plan, at most.
  func scratchCount(_ dims: SegmentDims) -> Int {
    if isIdentity { return 0 }
    let convolution = convolution(dims).map(\.scratchCount) ?? 0
    return dims.rows * (channels + 2 * projected) + convolution + 64
  }
}
