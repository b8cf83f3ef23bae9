import Kernels
import TensorStorage

/// A chunkwise recurrence in the phases between which ranks that share a segment exchange their parts.
///
/// Each rank computes its part's state from a zero start and that part's total decay, all ranks gather
/// them, and each folds them in order (`StateShares`): once in forward for the states, once in backward for
/// their gradients. It costs a second pass over the states in each.
protocol PhasedRecurrence {
  /// What it reads.
  associatedtype Inputs
  /// Where the gradients of that go.
  associatedtype Gradients

  /// Floats of a state of all sequences.
  var stateCount: Int { get }
  /// Floats of scratch of the forward pass.
  var forwardScratchCount: Int { get }
  /// Floats of scratch of the backward pass.
  var backwardScratchCount: Int { get }
  /// Floats that one part tells the others.
  var shareCount: Int { get }

  /// Shares of `parts` parts in `parts * shareCount` floats.
  func shares(_ base: Floats, parts: Int) -> StateShares

  /// What is inside chunks and needs no state.
  func prepare(_ x: Inputs, scratch: Floats)

  /// After `prepare`: the final state from a zero start and the total decay, into block `part`.
  func localState(_ x: Inputs, into shares: StateShares, part: Int, scratch: Floats)

  /// After `prepare`: outputs and the final state, which may take the place of the first one.
  func output(_ x: Inputs, start: Floats, into o: Floats, final: Floats, scratch: Floats)

  /// Backward, what is inside chunks and needs no state.
  func prepareBackward(_ dout: Floats, _ x: Inputs, scratch: Floats)

  /// After `prepareBackward`: the gradient of the first state for none of the final one, and the total
  /// decay, into block `part`.
  func localStateGradient(
    _ dout: Floats, _ x: Inputs, into shares: StateShares, part: Int, scratch: Floats)

  /// After `prepareBackward`: gradients of the inputs, and `dstate` from that of the final state to that of
  /// the first one.
  func gradients(
    _ dout: Floats, _ x: Inputs, start: Floats, dstateInPlace dstate: Floats,
    into gradients: Gradients, scratch: Floats)

  /// Goes over all parts in order: `state` from before the first part in that order to after the last, `own`
  /// its value before part `part`.
  func fold(
    _ shares: StateShares, _ direction: FoldDirection, part: Int, stateInPlace state: Floats,
    into own: Floats)
}

extension PhasedRecurrence {
  /// Runs the recurrence over a segment, or over this rank's part of it.
  ///
  /// - Parameters:
  ///   - x: what it reads.
  ///   - start: the state before these rows: `final`'s own memory, or, for a part of a segment,
  ///     overwritten here.
  ///   - o: the outputs.
  ///   - final: in, the state before the segment; out, after it.
  ///   - context: the call.
  func forward(
    _ x: Inputs, start: Floats, into o: Floats, final: Floats, _ context: inout BlockContext
  ) {
    let mark = context.scratch.used
    let scratch = context.scratch.take(forwardScratchCount)
    context.run { prepare(x, scratch: scratch) }
    var end = final
    if let parts = context.parts {
      let shares = shares(context.scratch.take(parts.count * shareCount), parts: parts.count)
      context.run { localState(x, into: shares, part: parts.part, scratch: scratch) }
      context.gather(shares.pointer, count: shares.shareCount)
      context.run {
        fold(shares, .forward, part: parts.part, stateInPlace: final, into: start)
      }
      end = shares.state(of: parts.part)
    }
    context.run { output(x, start: start, into: o, final: end, scratch: scratch) }
    context.scratch.rewind(to: mark)
  }

  /// Gradients of the recurrence over a segment, or over this rank's part of it.
  ///
  /// - Parameters:
  ///   - dout: the gradient of its outputs.
  ///   - x: what it read.
  ///   - start: the state before these rows.
  ///   - dstate: in, the gradient of the state after the segment; out, of that before it.
  ///   - target: where the gradients of `x` go.
  ///   - context: the call.
  func backward(
    _ dout: Floats, _ x: Inputs, start: Floats, dstateInPlace dstate: Floats,
    into target: Gradients, _ context: inout BlockContext
  ) {
    let mark = context.scratch.used
    let scratch = context.scratch.take(backwardScratchCount)
    context.run { prepareBackward(dout, x, scratch: scratch) }
    var dend = dstate
    if let parts = context.parts {
      let shares = shares(context.scratch.take(parts.count * shareCount), parts: parts.count)
      dend = context.scratch.take(stateCount)
      context.run { localStateGradient(dout, x, into: shares, part: parts.part, scratch: scratch) }
      context.gather(shares.pointer, count: shares.shareCount)
      context.run {
        fold(shares, .backward, part: parts.part, stateInPlace: dstate, into: dend)
      }
    }
    context.run {
      gradients(dout, x, start: start, dstateInPlace: dend, into: target, scratch: scratch)
    }
    context.scratch.rewind(to: mark)
  }
}

extension GLADims: PhasedRecurrence {
  func prepare(_ x: GLAInputs, scratch: Floats) {
    chunkGLAPrepare(x, scratch: scratch, dims: self)
  }

  func localState(_ x: GLAInputs, into shares: StateShares, part: Int, scratch: Floats) {
    chunkGLALocalState(x, into: shares, part: part, scratch: scratch, dims: self)
  }

  func output(_ x: GLAInputs, start: Floats, into o: Floats, final: Floats, scratch: Floats) {
    chunkGLAOutput(
      x, initialState: start, into: o, finalState: final, scratch: scratch, dims: self)
  }

  func prepareBackward(_ dout: Floats, _ x: GLAInputs, scratch: Floats) {
    chunkGLAPrepareBackward(dout, x, scratch: scratch, dims: self)
  }

  func localStateGradient(
    _ dout: Floats, _ x: GLAInputs, into shares: StateShares, part: Int, scratch: Floats
  ) {
    chunkGLALocalStateGradient(dout, into: shares, part: part, scratch: scratch, dims: self)
  }

  func gradients(
    _ dout: Floats, _ x: GLAInputs, start: Floats, dstateInPlace dstate: Floats,
    into gradients: GLAGradients, scratch: Floats
  ) {
    chunkGLAGradients(
      dout, x, initialState: start, dstateInPlace: dstate, into: gradients, scratch: scratch,
      dims: self)
  }

  func fold(
    _ shares: StateShares, _ direction: FoldDirection, part: Int, stateInPlace state: Floats,
    into own: Floats
  ) {
    foldGLAStates(shares, direction, part: part, stateInPlace: state, into: own, dims: self)
  }
}

extension SSDDims: PhasedRecurrence {
  func prepare(_ x: SSDInputs, scratch: Floats) {
    chunkSSDPrepare(x, scratch: scratch, dims: self)
  }

  func localState(_ x: SSDInputs, into shares: StateShares, part: Int, scratch: Floats) {
    chunkSSDLocalState(x, into: shares, part: part, scratch: scratch, dims: self)
  }

  func output(_ x: SSDInputs, start: Floats, into o: Floats, final: Floats, scratch: Floats) {
    chunkSSDOutput(
      x, initialState: start, into: o, finalState: final, scratch: scratch, dims: self)
  }

  func prepareBackward(_ dout: Floats, _ x: SSDInputs, scratch: Floats) {
    chunkSSDPrepareBackward(dout, x, scratch: scratch, dims: self)
  }

  func localStateGradient(
    _ dout: Floats, _ x: SSDInputs, into shares: StateShares, part: Int, scratch: Floats
  ) {
    chunkSSDLocalStateGradient(x, into: shares, part: part, scratch: scratch, dims: self)
  }

  func gradients(
    _ dout: Floats, _ x: SSDInputs, start: Floats, dstateInPlace dstate: Floats,
    into gradients: SSDGradients, scratch: Floats
  ) {
    chunkSSDGradients(
      dout, x, initialState: start, dstateInPlace: dstate, into: gradients, scratch: scratch,
      dims: self)
  }

  func fold(
    _ shares: StateShares, _ direction: FoldDirection, part: Int, stateInPlace state: Floats,
    into own: Floats
  ) {
    foldSSDStates(shares, direction, part: part, stateInPlace: state, into: own, dims: self)
  }
}
