import Kernels
import TensorStorage

// The recurrence of a segment, and what changes when several ranks share it; see
// `GatedLinearAttentionBlock+Parts.swift`, which does the same. A second pass over the states costs
// 2 N P floating-point operations a token and head in each forward and in each backward.

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

  // MARK: Recurrence

  /// Runs the recurrence.
  ///
  /// - Parameters:
  ///   - x: what it reads.
  ///   - start: the state before these rows: `final`'s own memory, or, for a part of a segment,
  ///     overwritten here.
  ///   - y: the outputs.
  ///   - final: in, the state before the segment; out, after it.
  ///   - context: sizes and parts.
  ///   - plan: where scratch is taken from.
  func stateSpaceForward(
    _ x: SSDInputs, start: Floats, into y: Floats, final: Floats, _ context: BlockContext,
    _ plan: inout MemoryPlan
  ) {
    let dims = recurrenceDims(context.dims)
    let mark = plan.used
    let scratch = plan.take(dims.forwardScratchCount)
    chunkSSDPrepare(x, scratch: scratch, dims: dims)
    var end = final
    if let parts = context.parts {
      let shares = dims.shares(plan.take(parts.count * dims.shareCount), parts: parts.count)
      chunkSSDLocalState(x, into: shares, part: parts.part, scratch: scratch, dims: dims)
      parts.gather(shares)
      foldSSDStates(
        shares, .forward, part: parts.part, stateInPlace: final, into: start, dims: dims)
      end = shares.state(of: parts.part)
    }
    chunkSSDOutput(x, initialState: start, into: y, finalState: end, scratch: scratch, dims: dims)
    plan.rewind(to: mark)
  }

  /// Gradients of the recurrence.
  ///
  /// - Parameters:
  ///   - dy: the gradient of its outputs.
  ///   - x: what it read.
  ///   - start: the state before these rows.
  ///   - dstate: in, the gradient of the state after the segment; out, of that before it.
  ///   - gradients: where the gradients of `x` go.
  ///   - context: sizes and parts.
  ///   - plan: where scratch is taken from.
  func stateSpaceBackward(
    _ dy: Floats, _ x: SSDInputs, _ start: State, _ dstate: State, into gradients: SSDGradients,
    _ context: BlockContext, _ plan: inout MemoryPlan
  ) {
    let dims = recurrenceDims(context.dims)
    let mark = plan.used
    let scratch = plan.take(dims.backwardScratchCount)
    chunkSSDPrepareBackward(dy, x, scratch: scratch, dims: dims)
    var dend = dstate.recurrent
    if let parts = context.parts {
      let shares = dims.shares(plan.take(parts.count * dims.shareCount), parts: parts.count)
      dend = plan.take(dims.stateCount)
      chunkSSDLocalStateGradient(x, into: shares, part: parts.part, scratch: scratch, dims: dims)
      parts.gather(shares)
      foldSSDStates(
        shares, .backward, part: parts.part, stateInPlace: dstate.recurrent, into: dend, dims: dims)
    }
    chunkSSDGradients(
      dy, x, initialState: start.recurrent, dstateInPlace: dend, into: gradients, scratch: scratch,
      dims: dims)
    plan.rewind(to: mark)
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
