import Kernels
import TensorStorage

// What changes when several ranks share a segment. The recurrence is `PhasedRecurrence`'s: its second pass
// over the states costs 2 K V floating-point operations a token and head in each forward and in each
// backward, K of all heads' channels with head mixing. The short convolutions' tails are gathered and put
// together in the same way.

extension GatedLinearAttentionBlock {
  private func tailCount(_ dims: SegmentDims) -> Int {
    dims.batch * configuration.convolutionStateCount
  }

  /// Floats that a part tells the others in a forward pass, and again in a backward pass: its state,
  /// its decay and its tails.
  public func shareCount(_ dims: SegmentDims) -> Int {
    dims.parts == 1 ? 0 : attentionDims(dims).shareCount + tailCount(dims)
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

  // MARK: Convolution tails

  /// The state before these rows, its tails filled in; `state`'s tails become those after the segment.
  ///
  /// Without parts this is `state` itself, which the convolutions move on.
  func exchangeTails(
    _ saved: Saved, _ state: State, _ context: BlockContext, _ plan: inout MemoryPlan
  ) -> State {
    guard let parts = context.parts else { return state }
    let dims = context.dims
    let start = State(saved.start, self, batch: dims.batch)
    let count = tailCount(dims)
    guard count > 0 else { return start }
    let mark = plan.used
    let base = plan.take(parts.count * count)
    let own = Tails(base + parts.part * count, self, batch: dims.batch)
    queryTransform.shareTail(saved.q, into: own.query, dims: dims)
    keyTransform.shareTail(saved.k, into: own.key, dims: dims)
    valueTransform.shareTail(saved.v, into: own.value, dims: dims)
    parts.exchange.gather(inPlace: base, count: count)
    let all = Tails(base, self, batch: dims.batch)
    queryTransform.foldTails(
      all.query, stride: count, parts, inPlace: state.tails.query, into: start.tails.query,
      dims: dims)
    keyTransform.foldTails(
      all.key, stride: count, parts, inPlace: state.tails.key, into: start.tails.key, dims: dims)
    valueTransform.foldTails(
      all.value, stride: count, parts, inPlace: state.tails.value, into: start.tails.value,
      dims: dims)
    plan.rewind(to: mark)
    return start
  }

  /// Where the convolutions' backward passes put the gradients of their tails: `dstate`'s own memory,
  /// or, for a part of a segment, zeros that will be shared.
  func localTailGradients(
    _ dstate: State, _ context: BlockContext, _ plan: inout MemoryPlan
  ) -> Tails {
    guard let parts = context.parts else { return dstate.tails }
    let count = tailCount(context.dims)
    let own = plan.take(parts.count * count) + parts.part * count
    zero(own, count: count)
    return Tails(own, self, batch: context.dims.batch)
  }

  /// Shares the gradients of the tails: adds to the projections' gradients what later parts say of
  /// these rows, and moves `dstate`'s tails back over the segment.
  func exchangeTailGradients(
    _ own: Tails, _ dstate: State, accumulatingInto d: GLAGradients, _ context: BlockContext,
    _ plan: inout MemoryPlan
  ) {
    let dims = context.dims
    let count = tailCount(dims)
    guard let parts = context.parts, count > 0 else { return }
    let base = own.query - parts.part * count
    parts.exchange.gather(inPlace: base, count: count)
    let all = Tails(base, self, batch: dims.batch)
    let mark = plan.used
    let tail = plan.take(count)
    queryTransform.foldTailGradients(
      all.query, stride: count, parts, inPlace: dstate.tails.query, accumulatingInto: d.dq,
      scratch: tail, dims: dims)
    keyTransform.foldTailGradients(
      all.key, stride: count, parts, inPlace: dstate.tails.key, accumulatingInto: d.dk,
      scratch: tail, dims: dims)
    valueTransform.foldTailGradients(
      all.value, stride: count, parts, inPlace: dstate.tails.value, accumulatingInto: d.dv,
      scratch: tail, dims: dims)
    plan.rewind(to: mark)
  }
}

extension ChannelTransform {
  /// This part's last inputs, for the others.
  fileprivate func shareTail(_ x: Floats, into share: Floats, dims: SegmentDims) {
    guard let convolution = convolution(dims) else { return }
    convolutionShare(x, into: share, dims: convolution)
  }

  /// The tail before this part, into `own`; `tail` moves on over all parts.
  fileprivate func foldTails(
    _ shares: Floats, stride: Int, _ parts: SequenceParts, inPlace tail: Floats, into own: Floats,
    dims: SegmentDims
  ) {
    guard let convolution = convolution(dims) else { return }
    foldConvolutionTails(
      ConvolutionShares(shares, stride: stride, split: parts.split), part: parts.part,
      tailInPlace: tail, into: own, dims: convolution)
  }

  /// Adds the gradient of the tail after this part to that of the inputs; `dtail` moves back over all
  /// parts.
  fileprivate func foldTailGradients(
    _ shares: Floats, stride: Int, _ parts: SequenceParts, inPlace dtail: Floats,
    accumulatingInto dx: Floats, scratch own: Floats, dims: SegmentDims
  ) {
    guard let convolution = convolution(dims) else { return }
    foldConvolutionTailGradients(
      ConvolutionShares(shares, stride: stride, split: parts.split), part: parts.part,
      dtailInPlace: dtail, into: own, dims: convolution)
    addConvolutionTailGradient(own, accumulatingInto: dx, dims: convolution)
  }
}
