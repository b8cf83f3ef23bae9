/// Where the gradients of the recurrence's inputs go; all are overwritten.
public struct GLAGradients {
  /// `[B, T, H, K]`.
  public var dq: Floats
  /// `[B, T, H, K]`.
  public var dk: Floats
  /// `[B, T, H, V]`; must not be `v`.
  public var dv: Floats
  /// `[B, T, H, K]`: gradient of the log gates.
  public var dg: Floats

  /// Names the arrays.
  public init(dq: Floats, dk: Floats, dv: Floats, dg: Floats) {
    self.dq = dq
    self.dk = dk
    self.dv = dv
    self.dg = dg
  }
}

/// Gradients of `chunkGLAForward`.
///
/// Recomputes what is inside chunks and the states at chunk boundaries, then
///
///     G = diag(exp(gamma)) G' + q~^T do     (G' at the chunk's end, G at its start)
///     dA = tril(do v^T),   dv = A^T do + k- G'
///
/// and per chunk the gradients of q, k and g (`chunkKeyGradients`).
///
/// - Parameters:
///   - dout: `[B, T, H, V]`, gradient of the output.
///   - x: queries, keys, values and log gates, as in forward.
///   - initialState: `[B, H, K, V]`, as given to the forward pass.
///   - dstate: `[B, H, K, V]`: in, the gradient of the final state; out, of the initial state.
///   - gradients: overwritten.
///   - scratch: `dims.backwardScratchCount` floats.
///   - dims: the sizes.
public func chunkGLABackward(
  _ dout: Floats, _ x: GLAInputs, initialState: Floats, dstateInPlace dstate: Floats,
  into gradients: GLAGradients, scratch: Floats, dims: GLADims
) {
  chunkGLAPrepareBackward(dout, x, scratch: scratch, dims: dims)
  chunkGLAGradients(
    dout, x, initialState: initialState, dstateInPlace: dstate, into: gradients, scratch: scratch,
    dims: dims)
}

/// First phase of `chunkGLABackward`: what is inside chunks and needs no state.
///
/// - Parameters:
///   - dout: `[B, T, H, V]`, gradient of the output.
///   - x: queries, keys, values and log gates, as in forward.
///   - scratch: `dims.backwardScratchCount` floats, to be kept for the next phase.
///   - dims: the sizes.
public func chunkGLAPrepareBackward(
  _ dout: Floats, _ x: GLAInputs, scratch: Floats, dims: GLADims
) {
  parallelFor(dims.chunkTasks, (x, dout, dims.scratch(scratch), dims)) { job, task in
    let (x, dout, s, dims) = job
    let chunk = dims.chunkTask(task)
    prepareChunk(x, s, chunk, dims)
    let da = dims.square(s.dattention, chunk)
    let all = 0..<dims.valueDim
    serialProduct(
      dims.values(dout, chunk, all), dims.values(x.v, chunk, all).transposed, into: da)
    keepLowerTriangle(da)
  }
}

/// Second phase of `chunkGLABackward`, with its parameters: states and gradients.
public func chunkGLAGradients(
  _ dout: Floats, _ x: GLAInputs, initialState: Floats, dstateInPlace dstate: Floats,
  into gradients: GLAGradients, scratch: Floats, dims: GLADims
) {
  let s = dims.scratch(scratch)
  let job = (x, dout, s, initialState, dstate, gradients.dv, dims)
  parallelFor(2 * dims.columnTasks, job) { job, task in
    let (x, dout, s, initialState, dstate, dv, dims) = job
    if task % 2 == 0 {
      storeStates(x, s, initialState, dims, dims.columnTask(task / 2))
    } else {
      storeStateGradients(dout, s, dstate, dv, dims, dims.columnTask(task / 2))
    }
  }
  parallelFor(dims.chunkTasks, (x, dout, s, gradients, dims)) { job, task in
    let (x, dout, s, gradients, dims) = job
    let keys = GLAKeyGradients(dq: gradients.dq, dk: gradients.dk, dg: gradients.dg)
    chunkKeyGradients(x, dout, keys, s, dims.chunkTask(task), dims)
  }
}

/// The states at all chunk boundaries, for one block of columns.
private func storeStates(
  _ x: GLAInputs, _ s: GLAScratch, _ initialState: Floats, _ dims: GLADims,
  _ task: (sequence: Int, head: Int, columns: Range<Int>)
) {
  func state(_ n: Int) -> Matrix { dims.state(s.states + n * dims.stateCount, task) }
  copyRows(dims.state(initialState, task), into: state(0))
  for n in 0..<dims.chunks {
    let chunk = dims.chunkTask((task.sequence * dims.heads + task.head) * dims.chunks + n)
    copyRows(state(n), into: state(n + 1))
    advance(state(n + 1), by: chunk, dims.values(x.v, chunk, task.columns), s, dims)
  }
}

/// The state gradients at all chunk boundaries and the gradient of v, for one block of columns.
private func storeStateGradients(
  _ dout: Floats, _ s: GLAScratch, _ dstate: Floats, _ dv: Floats, _ dims: GLADims,
  _ task: (sequence: Int, head: Int, columns: Range<Int>)
) {
  func gradient(_ n: Int) -> Matrix { dims.state(s.dstates + n * dims.stateCount, task) }
  let outer = dims.state(dstate, task)
  copyRows(outer, into: gradient(dims.chunks))
  for n in (0..<dims.chunks).reversed() {
    let chunk = dims.chunkTask((task.sequence * dims.heads + task.head) * dims.chunks + n)
    let dout = dims.values(dout, chunk, task.columns)
    let dv = dims.values(dv, chunk, task.columns)
    serialProduct(dims.square(s.attention, chunk).transposed, dout, into: dv)
    serialProduct(dims.keys(s.keys, chunk), gradient(n + 1), into: dv, accumulate: true)
    copyRows(gradient(n + 1), into: gradient(n))
    retreat(gradient(n), by: chunk, dout, s, dims)
  }
  copyRows(gradient(0), into: outer)
}

/// `G = diag(exp(gamma)) G' + q~^T do` for one chunk and block of columns, G' becoming G.
@inline(__always)
func retreat(
  _ gradient: Matrix, by chunk: GLAChunk, _ dout: Matrix, _ s: GLAScratch, _ dims: GLADims
) {
  scaleRows(gradient, by: dims.decay(s, chunk))
  serialProduct(
    dims.keys(s.queries, chunk).transposed, dout, into: gradient, accumulate: true)
}
