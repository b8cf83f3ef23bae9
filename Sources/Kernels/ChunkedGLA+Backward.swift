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
  let (s, spans) = (dims.scratch(scratch), dims.spans)
  storeSpanStarts(x, s, initialState, dims)
  for index in (0..<spans.count).reversed() {
    let span = spans[index]
    let start = index == 0 ? initialState : s.starts + (index - 1) * dims.stateCount
    parallelFor(2 * dims.columnTasks, (x, dout, s, start, dstate, gradients.dv, span, dims)) {
      job, task in
      let (x, dout, s, start, dstate, dv, span, dims) = job
      if task % 2 == 0 {
        storeStates(x, s, start, span, dims, dims.columnTask(task / 2))
      } else {
        storeStateGradients(dout, s, dstate, dv, span, dims, dims.columnTask(task / 2))
      }
    }
    let tasks = dims.batch * dims.heads * span.count
    parallelFor(tasks, (x, dout, s, gradients, span, dims)) { job, task in
      let (x, dout, s, gradients, span, dims) = job
      let keys = GLAKeyGradients(dq: gradients.dq, dk: gradients.dk, dg: gradients.dg)
      chunkKeyGradients(x, dout, keys, s, dims.chunkTask(task, in: span), in: span, dims)
    }
  }
}

/// The states at the starts of all spans but the first.
private func storeSpanStarts(
  _ x: GLAInputs, _ s: GLAScratch, _ initialState: Floats, _ dims: GLADims
) {
  guard dims.spans.startCount > 0 else { return }
  parallelFor(dims.columnTasks, (x, s, initialState, dims)) { job, task in
    let (x, s, initialState, dims) = job
    let task = dims.columnTask(task)
    var state = dims.state(initialState, task)
    for index in 0..<dims.spans.startCount {
      let next = dims.state(s.starts + index * dims.stateCount, task)
      copyRows(state, into: next)
      for n in dims.spans[index] {
        let chunk = dims.chunk(n, task)
        advance(next, by: chunk, dims.values(x.v, chunk, task.columns), s, dims)
      }
      state = next
    }
  }
}

/// The states at a span's chunk boundaries, for one block of columns.
private func storeStates(
  _ x: GLAInputs, _ s: GLAScratch, _ start: Floats, _ span: Range<Int>, _ dims: GLADims,
  _ task: (sequence: Int, head: Int, columns: Range<Int>)
) {
  var state = dims.state(s.states, task)
  copyRows(dims.state(start, task), into: state)
  for n in span {
    var next = state
    next.pointer += dims.stateCount
    copyRows(state, into: next)
    let chunk = dims.chunk(n, task)
    advance(next, by: chunk, dims.values(x.v, chunk, task.columns), s, dims)
    state = next
  }
}

/// The state gradients at a span's chunk boundaries and the gradient of v, for one block of columns;
/// `dstate` moves from the span's end to its start.
private func storeStateGradients(
  _ dout: Floats, _ s: GLAScratch, _ dstate: Floats, _ dv: Floats, _ span: Range<Int>,
  _ dims: GLADims, _ task: (sequence: Int, head: Int, columns: Range<Int>)
) {
  let outer = dims.state(dstate, task)
  var gradient = dims.state(s.dstates + span.count * dims.stateCount, task)
  copyRows(outer, into: gradient)
  for n in span.reversed() {
    let chunk = dims.chunk(n, task)
    let dout = dims.values(dout, chunk, task.columns)
    let dv = dims.values(dv, chunk, task.columns)
    serialProduct(dims.square(s.attention, chunk).transposed, dout, into: dv)
    serialProduct(dims.keys(s.keys, chunk), gradient, into: dv, accumulate: true)
    var before = gradient
    before.pointer -= dims.stateCount
    copyRows(gradient, into: before)
    retreat(before, by: chunk, dout, s, dims)
    gradient = before
  }
  copyRows(gradient, into: outer)
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
