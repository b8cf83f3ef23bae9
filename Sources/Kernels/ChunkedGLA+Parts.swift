// A recurrence that several ranks share (`StateShares`): what one part computes from a zero start, and
// the fold over all parts.

extension GLADims {
  /// Floats that one part tells the others: `B * H * K * V` of state and `B * H * K` of decay.
  public var shareCount: Int { stateCount + batch * keyStride }

  /// Shares of `parts` parts in `parts * shareCount` floats.
  public func shares(_ base: Floats, parts: Int) -> StateShares {
    StateShares(
      base: base, stateCount: stateCount, decayCount: batch * keyStride, parts: parts)
  }

  /// Some columns of the state of a (sequence, head) in `[B, H, K, V]`.
  @inline(__always)
  func state(_ base: Floats, _ task: (sequence: Int, head: Int, columns: Range<Int>)) -> Matrix {
    Matrix(
      base + stateOffset(task.sequence, task.head) + task.columns.lowerBound, keyDim,
      task.columns.count, stride: valueDim)
  }
}

/// The final state from a zero start and the total decay, after `chunkGLAPrepare`.
///
/// Costs `2 K V` floating-point operations for each token and head.
///
/// - Parameters:
///   - x: as given to `chunkGLAPrepare`.
///   - shares: block `part` is overwritten.
///   - part: the part that these tokens are.
///   - scratch: as `chunkGLAPrepare` left it.
///   - dims: the sizes of this part.
public func chunkGLALocalState(
  _ x: GLAInputs, into shares: StateShares, part: Int, scratch: Floats, dims: GLADims
) {
  let s = dims.scratch(scratch)
  parallelFor(dims.columnTasks, (x, s, shares.state(of: part), dims)) { job, task in
    let (x, s, target, dims) = job
    let task = dims.columnTask(task)
    let state = dims.state(target, task)
    clearRows(state)
    for n in 0..<dims.chunks {
      let chunk = dims.chunk(n, task)
      advance(state, by: chunk, dims.values(x.v, chunk, task.columns), s, dims)
    }
  }
  storeDecays(s, shares.decay(of: part), dims)
}

/// The gradient of the initial state for a zero gradient of the final one, and the total decay, after
/// `chunkGLAPrepareBackward`.
///
/// Costs `2 K V` floating-point operations for each token and head.
///
/// - Parameters:
///   - dout: `[B, T, H, V]`, gradient of the output.
///   - shares: block `part` is overwritten.
///   - part: the part that these tokens are.
///   - scratch: as `chunkGLAPrepareBackward` left it.
///   - dims: the sizes of this part.
public func chunkGLALocalStateGradient(
  _ dout: Floats, into shares: StateShares, part: Int, scratch: Floats, dims: GLADims
) {
  let s = dims.scratch(scratch)
  parallelFor(dims.columnTasks, (dout, s, shares.state(of: part), dims)) { job, task in
    let (dout, s, target, dims) = job
    let task = dims.columnTask(task)
    let gradient = dims.state(target, task)
    clearRows(gradient)
    for n in (0..<dims.chunks).reversed() {
      let chunk = dims.chunk(n, task)
      retreat(gradient, by: chunk, dims.values(dout, chunk, task.columns), s, dims)
    }
  }
  storeDecays(s, shares.decay(of: part), dims)
}

private func storeDecays(_ s: GLAScratch, _ decays: Floats, _ dims: GLADims) {
  for b in 0..<dims.batch {
    totalDecay(
      s.decay + b * dims.chunks * dims.keyStride, chunks: dims.chunks, width: dims.keyStride,
      into: decays + b * dims.keyStride)
  }
}

/// Goes over all parts in order: `S = D_j S + S_j`.
///
/// - Parameters:
///   - shares: every part's block.
///   - direction: forward for states, backward for gradients.
///   - part: the part whose own value is wanted.
///   - state: `[B, H, K, V]`: in, the value before the first part in that order; out, after the last.
///   - own: `[B, H, K, V]`, overwritten with the value before part `part`.
///   - dims: the sizes; the length does not matter.
public func foldGLAStates(
  _ shares: StateShares, _ direction: FoldDirection, part: Int, stateInPlace state: Floats,
  into own: Floats, dims: GLADims
) {
  parallelFor(dims.columnTasks, (shares, direction, part, state, own, dims)) { job, task in
    let (shares, direction, part, state, own, dims) = job
    let task = dims.columnTask(task)
    let running = dims.state(state, task)
    for place in 0..<shares.parts {
      let index = direction.part(place, of: shares.parts)
      if index == part { copyRows(running, into: dims.state(own, task)) }
      let keys = (task.sequence * dims.heads + task.head) * dims.keyDim
      scaleRows(running, by: shares.decay(of: index) + keys)
      addRows(dims.state(shares.state(of: index), task), into: running)
    }
  }
}
