import TensorStorage

/// Where the gradients of the recurrence's inputs go.
public struct SSDGradients {
  /// `[B, T, H, P]`, rows `inputStride` apart, overwritten; must not be `x`.
  public var dx: Floats
  /// `[B, T, H]`, overwritten: through the inputs and through the gates.
  public var ddt: Floats
  /// `[H]`, added to: gradient of `A_log`, where `rate = -exp(A_log)`; nil when it is not trained.
  public var daLog: Floats?
  /// `[B, T, G, N]`, rows `inputStride` apart, overwritten.
  public var db: Floats
  /// `[B, T, G, N]`, rows `inputStride` apart, overwritten.
  public var dc: Floats

  /// Names the arrays.
  public init(dx: Floats, ddt: Floats, daLog: Floats?, db: Floats, dc: Floats) {
    (self.dx, self.ddt, self.daLog, self.db, self.dc) = (dx, ddt, daLog, db, dc)
  }
}

/// Gradients of `chunkSSDForward`.
///
/// Recomputes what is inside chunks and the states at chunk boundaries, then
///
///     dS = exp(gamma) dS' + C^T (exp(b) dy)     (dS' at the chunk's end, dS at its start)
///
/// and per chunk the gradients of the inputs (`chunkGradients`).
///
/// - Parameters:
///   - dy: `[B, T, H, P]`, gradient of the output.
///   - x: as given to the forward pass.
///   - start: `[B, G, N, H / G, P]`, the state before these tokens.
///   - dstate: `[B, G, N, H / G, P]`: in, the gradient of the final state; out, of the first; see
///     `ChunkedRecurrence.runBackward`.
///   - gradients: where the gradients of `x` go.
///   - part: the part of a shared sequence that these tokens are, or nil.
///   - plan: where scratch is taken from.
///   - dims: sizes.
public func chunkSSDBackward(
  _ dy: Floats, _ x: SSDInputs, start: Floats, dstateInPlace dstate: Floats,
  into gradients: SSDGradients, _ part: SegmentPart?, _ plan: inout MemoryPlan,
  dims: SSDDims
) {
  dims.runBackward(dy, x, start: start, dstateInPlace: dstate, into: gradients, part, &plan)
}

extension SSDDims {
  /// What forward prepares, and `exp(b) dy`.
  public func prepareBackward(_ dy: Floats, _ x: SSDInputs, _ s: SSDScratch, task: Int) {
    let task = chunkTask(task, in: 0..<chunks)
    prepareChunk(x, s, task, self)
    let weighted = channels(s.doutputs, task, task.heads)
    copyRows(channels(dy, task, task.heads), into: weighted)
    scaleHeads(weighted, by: s.fromStart, task, self)
  }

  /// `dS = exp(gamma) dS' + C^T (exp(b) dy)`, dS' becoming dS.
  @inline(__always)
  public func retreat(
    _ dstate: Matrix, over chunk: Int, _ task: StateTask, _ dy: Floats, _ x: SSDInputs,
    _ s: SSDScratch
  ) {
    scaleColumns(dstate, by: chunkDecay(s, chunk, task))
    serialProduct(
      states(x.c, task.set, chunk).transposed, channels(s.doutputs, chunk, task), into: dstate,
      accumulate: true)
  }

  /// Gradients of a task's x and dt, and its share in those of B, C and `A_log`.
  public func chunkBackward(
    _ dy: Floats, _ x: SSDInputs, _ s: SSDScratch, _ states: SpanStates, task: Int,
    into gradients: SSDGradients
  ) {
    chunkGradients(x, dy, gradients, s, states, chunkTask(task, in: states.span), self)
  }

  /// The gradients of B and C from their shares.
  public func finishSpan(_ s: SSDScratch, _ span: Range<Int>, into gradients: SSDGradients) {
    parallelFor(batch * span.count * groups, (gradients, s, span, self)) { job, index in
      let (gradients, s, span, dims) = job
      addShares(gradients, s, firstTask: index * dims.groupTasks, in: span, dims)
    }
  }

  /// The gradient of `A_log` from that of each chunk.
  public func finishGradients(_ s: SSDScratch, into gradients: SSDGradients) {
    guard let daLog = gradients.daLog else { return }
    addTilePartials(s.drates, tiles: batch * chunks, width: heads, accumulatingInto: daLog)
  }
}

/// Gradients of one task's x and dt, and its share in those of B, C and `A_log`.
///
///     d(dt x) = M^T dy + exp(gamma - b) (B dS'),     dM = dy (dt x)^T
///     dC = sum over heads of exp(b) dy S^T + (dM L) B,     dB = ... dt x dS'^T + (dM L)^T C
///
/// with `L = exp(b_t - b_s)`, S the state at the chunk's start and dS' the gradient of that at its end.
/// The gate of token t decays every pair (u, s) with s < t <= u, every read of S at u >= t and every
/// write to S' at u < t; its gradient is the sum over just those (`gateGradients`). No two large
/// numbers are subtracted, so gates that shut keep an exact gradient, however small.
private func chunkGradients(
  _ x: SSDInputs, _ dy: Floats, _ gradients: SSDGradients, _ s: SSDScratch,
  _ states: SpanStates, _ task: SSDTask, _ dims: SSDDims
) {
  let memory = s.memory(task, dims)
  let (start, dend) = (states.start(of: task.chunk), states.dend(of: task.chunk))
  let (b, c) = (dims.states(x.b, task), dims.states(x.c, task))
  let db = Matrix(memory.db, task.count, dims.stateSize)
  let dc = Matrix(memory.dc, task.count, dims.stateSize)
  let dx = dims.inputs(gradients.dx, task, task.heads)
  let dstates = dims.state(dend, task, task.heads)
  serialProduct(b, dstates, into: dx)
  scaleHeads(dx, by: s.toEnd, task, dims)
  serialProduct(dims.channels(s.inputs, task, task.heads), dstates.transposed, into: db)
  memory.dproduct.update(repeating: 0, count: SSDDims.chunk * SSDDims.chunk)
  memory.dc.update(repeating: 0, count: task.count * dims.stateSize)
  for head in task.heads {
    let one = head..<(head + 1)
    let (state, dstate) = (dims.state(start, task, one), dims.state(dend, task, one))
    writeGradients(memory, x, gradients, head, task, dims)
    pairGradients(memory, x, dy, gradients, s.product(task, dims), head, task, dims)
    stepGradients(memory, x, gradients, head, task, dims)
    readGradients(memory, c, dims.channels(s.doutputs, task, one), state, dims)
    gateGradients(memory, x, gradients, s, stateProduct(state, dstate), head, task, dims)
  }
  let dproduct = Matrix(memory.dproduct, task.count, task.count, stride: SSDDims.chunk)
  serialProduct(dproduct, b, into: dc, accumulate: true)
  serialProduct(dproduct.transposed, c, into: db, accumulate: true)
}

/// What each token's write to the chunk's last state is worth: `writes = dt_t x_t . d(dt_t x_t)`, as
/// long as `dx` holds only what comes from there.
@inline(__always)
private func writeGradients(
  _ memory: SSDTaskMemory, _ x: SSDInputs, _ gradients: SSDGradients, _ head: Int,
  _ task: SSDTask, _ dims: SSDDims
) {
  memory.start(x, head, task, dims)
  let one = head..<(head + 1)
  let (source, dx) = (dims.inputs(x.x, task, one), dims.inputs(gradients.dx, task, one))
  for t in 0..<task.count {
    memory.writes[t] = memory.steps[t] * dotProduct(source.row(t), dx.row(t), dims.headDim)
  }
}

/// From pairs of tokens: adds `M^T dy` to `dx`, `dM L` to the gradient of `C B^T`, and sets `pairs`.
@inline(__always)
private func pairGradients(
  _ memory: SSDTaskMemory, _ x: SSDInputs, _ dy: Floats, _ gradients: SSDGradients,
  _ product: Floats, _ head: Int, _ task: SSDTask, _ dims: SSDDims
) {
  let one = head..<(head + 1)
  let dy = dims.channels(dy, task, one)
  let dmixing = Matrix(memory.dmixing, task.count, task.count, stride: SSDDims.chunk)
  clearBehind(dmixing)
  serialProduct(dy, dims.inputs(x.x, task, one).transposed, into: dmixing)
  let (exponent, steps) = (memory.exponent, memory.steps)
  for t in 0..<task.count {
    memory.step(to: t, x, head, task)
    let offset = t * SSDDims.chunk
    let (mixing, pair) = (memory.mixing + offset, memory.dmixing + offset)
    let (product, dproduct) = (product + offset, memory.dproduct + offset)
    for s in 0..<SSDDims.chunk {
      let decay = fastExp(exponent[s])
      let d = pair[s] * decay * steps[s]
      mixing[s] = product[s] * decay
      dproduct[s] += d
      pair[s] = d * product[s]
    }
  }
  sumPairs(memory, task)
  serialProduct(
    Matrix(memory.mixing, task.count, task.count, stride: SSDDims.chunk).transposed, dy,
    into: dims.inputs(gradients.dx, task, one), accumulate: true)
}

/// `pairs[t] = sum over u >= t and s < t of pair[u, s]`.
@inline(__always)
private func sumPairs(_ memory: SSDTaskMemory, _ task: SSDTask) {
  let columns = memory.columns
  columns.update(repeating: 0, count: SSDDims.chunk)
  for t in (0..<task.count).reversed() {
    let pair = memory.dmixing + t * SSDDims.chunk
    for s in 0..<SSDDims.chunk { columns[s] += pair[s] }
    // Column t belongs to no pair across an earlier token's gate; those right of it are zero already.
    columns[t] = 0
    memory.pairs[t] = total(columns, SSDDims.chunk)
  }
}

/// From the gradient of `dt x` to that of x, and the share of dt that is not the gate's.
@inline(__always)
private func stepGradients(
  _ memory: SSDTaskMemory, _ x: SSDInputs, _ gradients: SSDGradients, _ head: Int,
  _ task: SSDTask, _ dims: SSDDims
) {
  let one = head..<(head + 1)
  let (source, dx) = (dims.inputs(x.x, task, one), dims.inputs(gradients.dx, task, one))
  for t in 0..<task.count {
    let row = dx.row(t)
    gradients.ddt[(task.row + t) * dims.heads + head] = dotProduct(
      source.row(t), row, dims.headDim)
    let step = memory.steps[t]
    for p in 0..<dims.headDim { row[p] *= step }
  }
}

/// Adds `exp(b) dy S^T` of one head to `dc`, and sets `reads`.
@inline(__always)
private func readGradients(
  _ memory: SSDTaskMemory, _ c: Matrix, _ doutputs: Matrix, _ state: Matrix, _ dims: SSDDims
) {
  let panel = Matrix(memory.panel, c.rows, dims.stateSize)
  serialProduct(doutputs, state.transposed, into: panel)
  for t in 0..<c.rows {
    let (row, dc) = (panel.row(t), memory.dc + t * dims.stateSize)
    memory.reads[t] = dotProduct(row, c.row(t), dims.stateSize)
    for n in 0..<dims.stateSize { dc[n] += row[n] }
  }
}

/// `sum of S dS'` over one head.
@inline(__always)
private func stateProduct(_ state: Matrix, _ dstate: Matrix) -> Float {
  var sum: Float = 0
  for n in 0..<state.rows { sum += dotProduct(state.row(n), dstate.row(n), state.columns) }
  return sum
}

/// `dlog a_t = pairs_t + sum of reads at u >= t + sum of writes at u < t + exp(gamma) <S, dS'>`, and
/// from it the gate's share of dt and the gradient of `A_log` (`log a = rate dt`).
@inline(__always)
private func gateGradients(
  _ memory: SSDTaskMemory, _ x: SSDInputs, _ gradients: SSDGradients, _ s: SSDScratch,
  _ stateProduct: Float, _ head: Int, _ task: SSDTask, _ dims: SSDDims
) {
  let last = (task.row + task.count - 1) * dims.heads + head
  var carry = s.fromStart[last] * stateProduct
  for t in 0..<task.count {
    memory.pairs[t] += carry
    carry += memory.writes[t]
  }
  let rate = x.rate[head]
  var (reads, dlogRate): (Float, Float) = (0, 0)
  for t in (0..<task.count).reversed() {
    reads += memory.reads[t]
    let throughGate = (memory.pairs[t] + reads) * rate
    gradients.ddt[(task.row + t) * dims.heads + head] += throughGate
    dlogRate += throughGate * memory.steps[t]
  }
  s.drates[(task.sequence * dims.chunks + task.chunk) * dims.heads + head] = dlogRate
}

/// Sums the shares of the tasks of one chunk and group, in order, into the gradients of B and C.
private func addShares(
  _ gradients: SSDGradients, _ s: SSDScratch, firstTask: Int, in span: Range<Int>, _ dims: SSDDims
) {
  for index in firstTask..<(firstTask + dims.groupTasks) {
    let task = dims.chunkTask(index, in: span)
    let memory = s.memory(task, dims)
    let (db, dc) = (dims.states(gradients.db, task), dims.states(gradients.dc, task))
    for t in 0..<task.count {
      let offset = t * dims.stateSize
      if task.isFirstOfGroup {
        db.row(t).update(from: memory.db + offset, count: dims.stateSize)
        dc.row(t).update(from: memory.dc + offset, count: dims.stateSize)
      } else {
        for n in 0..<dims.stateSize { db.row(t)[n] += memory.db[offset + n] }
        for n in 0..<dims.stateSize { dc.row(t)[n] += memory.dc[offset + n] }
      }
    }
  }
}
