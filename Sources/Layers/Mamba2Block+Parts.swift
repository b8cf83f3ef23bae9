import Kernels
import TensorStorage

// What changes when several ranks share a segment. The recurrence is `PhasedRecurrence`'s: its second pass
// over the states costs 2 N P floating-point operations a token and head in each forward and in each
// backward. The convolution's tail is gathered and put together in the same way.

extension Mamba2Block {
  private func tailCount(_ dims: SegmentDims) -> Int {
    dims.batch * configuration.convolutionStateCount
  }

  /// Floats that a part tells the others in a forward pass, and again in a backward pass: its state,
  /// its decay and its tail.
  public func shareCount(_ dims: SegmentDims) -> Int {
    dims.parts == 1 ? 0 : recurrenceDims(dims).shareCount + tailCount(dims)
  }

  /// Floats of scratch that the exchange between parts needs; 0 for one part.
  func partsScratchCount(_ dims: SegmentDims) -> Int {
    guard dims.parts > 1 else { return 0 }
    // All shares, the gradient of the own final state and that of the own tails.
    return dims.parts * shareCount(dims) + stateCount(batch: dims.batch) + 64 * 4
  }

  /// The state before the first token of the rows of `context`.
  func startState(_ state: Floats, _ saved: Saved, _ context: BlockContext) -> State {
    State(context.parts == nil ? state : saved.start, self, batch: context.dims.batch)
  }

  // MARK: Convolution tail

  /// The state before these rows, its tail filled in; `state`'s tail becomes that after the segment.
  ///
  /// Without parts this is `state` itself, which the convolution moves on.
  func exchangeTail(
    _ saved: Saved, _ state: State, _ context: BlockContext, _ plan: inout MemoryPlan
  ) -> State {
    guard let parts = context.parts else { return state }
    let start = State(saved.start, self, batch: context.dims.batch)
    let count = tailCount(context.dims)
    guard count > 0 else { return start }
    let dims = convolutionDims(context.dims)
    let mark = plan.used
    let base = plan.take(parts.count * count)
    convolutionShare(saved.projected, into: base + parts.part * count, dims: dims)
    parts.exchange.gather(inPlace: base, count: count)
    foldConvolutionTails(
      ConvolutionShares(base, stride: count, split: parts.split), part: parts.part,
      tailInPlace: state.tail, into: start.tail, dims: dims)
    plan.rewind(to: mark)
    return start
  }

  /// Where the convolution's backward pass puts the gradient of its tail: `dstate`'s own memory, or,
  /// for a part of a segment, zeros that will be shared.
  func localTailGradient(
    _ dstate: State, _ context: BlockContext, _ plan: inout MemoryPlan
  ) -> Floats {
    guard let parts = context.parts else { return dstate.tail }
    let count = tailCount(context.dims)
    let own = plan.take(parts.count * count) + parts.part * count
    zero(own, count: count)
    return own
  }

  /// Shares the gradient of the tail: adds to the projection's gradient what later parts say of these
  /// rows, and moves `dstate`'s tail back over the segment.
  func exchangeTailGradient(
    _ own: Floats, _ dstate: State, accumulatingInto dprojected: Floats, _ context: BlockContext,
    _ plan: inout MemoryPlan
  ) {
    let count = tailCount(context.dims)
    guard let parts = context.parts, count > 0 else { return }
    let dims = convolutionDims(context.dims)
    let base = own - parts.part * count
    parts.exchange.gather(inPlace: base, count: count)
    let mark = plan.used
    let tail = plan.take(count)
    foldConvolutionTailGradients(
      ConvolutionShares(base, stride: count, split: parts.split), part: parts.part,
      dtailInPlace: dstate.tail, into: tail, dims: dims)
    addConvolutionTailGradient(tail, accumulatingInto: dprojected, dims: dims)
    plan.rewind(to: mark)
  }
}
