import Kernels
import TensorStorage

// What mixers share: their state, and the exchange of convolutions' tails between ranks that share a
// segment. The recurrence's own exchange is the recurrence's.

/// A mixer's state in memory: the recurrent state of all sequences, then the convolutions' tails.
struct MixerState {
  let recurrent, tails: Floats

  init(_ base: Floats, recurrentStateCount: Int, batch: Int) {
    (recurrent, tails) = (base, base + batch * recurrentStateCount)
  }
}

extension TokenMixer {
  /// Floats of one sequence's tails.
  var tailCount: Int { convolutions.reduce(0) { $0 + $1.tailCount } }

  func state(_ base: Floats, _ context: BlockContext) -> MixerState {
    MixerState(base, recurrentStateCount: recurrentStateCount, batch: context.dims.batch)
  }

  /// Memory for the state before this part of a shared segment; none for a whole one.
  func startState(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Floats {
    plan.take(dims.parts > 1 ? dims.batch * (recurrentStateCount + tailCount) : 0)
  }

  /// The state before these rows, its tails filled in; `state`'s tails become those after the segment.
  ///
  /// Without parts this is `state` itself, which the convolutions move on.
  ///
  /// - Parameters:
  ///   - state: the state before the segment.
  ///   - start: memory for the state before this part of it.
  ///   - context: the call.
  ///   - input: what the convolution of that number reads, `[B, T, channels]`.
  /// - Returns: the state that recurrence and convolutions start from.
  func exchangeTails(
    _ state: MixerState, start: Floats, _ context: inout BlockContext,
    of input: (_ convolution: Int) -> Floats
  ) -> MixerState {
    guard let part = context.part else { return state }
    let start = self.state(start, context)
    let (dims, mark) = (context.dims, context.scratch.used)
    let count = dims.batch * tailCount
    guard count > 0 else { return start }
    let base = context.scratch.take(part.parts * count)
    let own = base + part.index * count
    context.run {
      for (index, convolution) in convolutions.enumerated() {
        convolutionShare(
          input(index), into: convolution.tail(of: own, batch: dims.batch),
          dims: convolution.dims(dims))
      }
    }
    context.gather(base, count: count)
    context.run {
      for convolution in convolutions {
        foldConvolutionTails(
          convolution.shares(base, stride: count, part, dims), part: part.index,
          tailInPlace: convolution.tail(of: state.tails, batch: dims.batch),
          into: convolution.tail(of: start.tails, batch: dims.batch),
          dims: convolution.dims(dims))
      }
    }
    context.scratch.rewind(to: mark)
    return start
  }

  /// Where the convolutions' backward passes put the gradients of their tails: `dstate`'s own memory,
  /// or, for a part of a segment, zeros that will be shared.
  func localTailGradients(_ dstate: MixerState, _ context: inout BlockContext) -> Floats {
    guard let part = context.part else { return dstate.tails }
    let count = context.dims.batch * tailCount
    let own = context.scratch.take(part.parts * count) + part.index * count
    context.run { zero(own, count: count) }
    return own
  }

  /// Shares the gradients of the tails: adds to the projections' gradients what later parts say of
  /// these rows, and moves `dstate`'s tails back over the segment.
  ///
  /// - Parameters:
  ///   - own: what `localTailGradients` returned.
  ///   - dstate: the gradient of the state.
  ///   - context: the call.
  ///   - gradient: that of what the convolution of that number read, added to.
  func exchangeTailGradients(
    _ own: Floats, _ dstate: MixerState, _ context: inout BlockContext,
    accumulatingInto gradient: (_ convolution: Int) -> Floats
  ) {
    let (dims, mark) = (context.dims, context.scratch.used)
    let count = dims.batch * tailCount
    guard let part = context.part, count > 0 else { return }
    let base = own - part.index * count
    context.gather(base, count: count)
    let tails = context.scratch.take(count)
    context.run {
      for (index, convolution) in convolutions.enumerated() {
        let tail = convolution.tail(of: tails, batch: dims.batch)
        foldConvolutionTailGradients(
          convolution.shares(base, stride: count, part, dims), part: part.index,
          dtailInPlace: convolution.tail(of: dstate.tails, batch: dims.batch), into: tail,
          dims: convolution.dims(dims))
        addConvolutionTailGradient(
          tail, accumulatingInto: gradient(index), dims: convolution.dims(dims))
      }
    }
    context.scratch.rewind(to: mark)
  }
}

extension ShortConvolution {
  /// This convolution's blocks among those of all parts.
  fileprivate func shares(
    _ base: Floats, stride: Int, _ part: SegmentPart, _ dims: SegmentDims
  ) -> ConvolutionShares {
    ConvolutionShares(tail(of: base, batch: dims.batch), stride: stride, split: part.split)
  }
}
