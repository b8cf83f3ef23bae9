// What happens inside one chunk: gates, weighted inputs and the mixing matrix.

/// Fills `exp(b)`, `exp(gamma - b)`, `exp(gamma)` and the weighted inputs of a task's heads, and
/// `C B^T` of its group.
func prepareChunk(_ x: SSDInputs, _ s: SSDScratch, _ task: SSDTask, _ dims: SSDDims) {
  accumulateGates(x, s, task, dims)
  let (source, target) = (
    dims.inputs(x.x, task, task.heads), dims.channels(s.inputs, task, task.heads)
  )
  for t in 0..<task.count {
    let gates = (task.row + t) * dims.heads
    for (index, head) in task.heads.enumerated() {
      let factor = s.toEnd[gates + head] * x.dt[gates + head]
      let x = source.row(t) + index * dims.headDim
      let y = target.row(t) + index * dims.headDim
      for p in 0..<dims.headDim { y[p] = factor * x[p] }
    }
  }
  guard task.isFirstOfGroup else { return }
  let product = Matrix(s.product(task, dims), task.count, task.count, stride: SSDDims.chunk)
  clearBehind(product)
  serialProduct(dims.states(x.c, task), dims.states(x.b, task).transposed, into: product)
}

/// Running products of the gates from both ends of the chunk, as exponentials of sums.
private func accumulateGates(_ x: SSDInputs, _ s: SSDScratch, _ task: SSDTask, _ dims: SSDDims) {
  @inline(__always)
  func row(_ base: Floats, _ t: Int) -> Floats { base + (task.row + t) * dims.heads }
  let last = task.count - 1
  for head in task.heads {
    row(s.fromStart, 0)[head] = x.rate[head] * row(x.dt, 0)[head] + x.history.gate(at: task.row)
    row(s.toEnd, last)[head] = 0
  }
  for t in 1..<max(task.count, 1) {
    let (before, now, dt) = (row(s.fromStart, t - 1), row(s.fromStart, t), row(x.dt, t))
    let reset = x.history.gate(at: task.row + t)
    for head in task.heads { now[head] = before[head] + (x.rate[head] * dt[head] + reset) }
  }
  for t in (0..<last).reversed() {
    let (after, now, dt) = (row(s.toEnd, t + 1), row(s.toEnd, t), row(x.dt, t + 1))
    let reset = x.history.gate(at: task.row + t + 1)
    for head in task.heads { now[head] = after[head] + (x.rate[head] * dt[head] + reset) }
  }
  for t in 0..<task.count {
    let (start, end) = (row(s.fromStart, t), row(s.toEnd, t))
    for head in task.heads {
      start[head] = fastExp(start[head])
      end[head] = fastExp(end[head])
    }
  }
  let decay = s.decay + (task.sequence * dims.chunks + task.chunk) * dims.width
  for head in task.heads {
    (decay + head * dims.headDim).update(
      repeating: row(s.fromStart, last)[head], count: dims.headDim)
  }
}

/// Zeroes the columns of a square behind the end of a short chunk, so that loops over whole rows of
/// `SSDDims.chunk` meet numbers there.
@inline(__always)
func clearBehind(_ square: Matrix) {
  guard square.columns < SSDDims.chunk else { return }
  for t in 0..<square.rows {
    (square.row(t) + square.columns).update(repeating: 0, count: SSDDims.chunk - square.columns)
  }
}

/// Multiplies each head's channels of `x` by its factor at each token; `factors` is `[B, T, H]`.
@inline(__always)
func scaleHeads(_ x: Matrix, by factors: Floats, _ task: SSDTask, _ dims: SSDDims) {
  for t in 0..<task.count {
    let factors = factors + (task.row + t) * dims.heads
    for (index, head) in task.heads.enumerated() {
      let row = x.row(t) + index * dims.headDim
      let factor = factors[head]
      for p in 0..<dims.headDim { row[p] *= factor }
    }
  }
}

extension SSDTaskMemory {
  /// Gathers one head's time steps and clears the sums of log gates.
  @inline(__always)
  func start(_ x: SSDInputs, _ head: Int, _ task: SSDTask, _ dims: SSDDims) {
    steps.update(repeating: 0, count: SSDDims.chunk)
    for t in 0..<task.count { steps[t] = x.dt[(task.row + t) * dims.heads + head] }
    exponent.update(repeating: -.infinity, count: SSDDims.chunk)
  }

  /// Moves the sums of log gates on to row `t`: `exponent[s] = b_t - b_s`, minus infinity for s > t.
  @inline(__always)
  func step(to t: Int, _ x: SSDInputs, _ head: Int, _ task: SSDTask) {
    let gate = x.rate[head] * steps[t] + x.history.gate(at: task.row + t)
    for s in 0..<SSDDims.chunk { exponent[s] += gate }
    exponent[t] = 0
  }
}

/// `M[t, s] = (C_t . B_s) exp(b_t - b_s) dt_s` of one head, zero for s > t.
@inline(__always)
func fillMixing(
  _ memory: SSDTaskMemory, _ x: SSDInputs, _ product: Floats, _ head: Int, _ task: SSDTask,
  _ dims: SSDDims
) {
  memory.start(x, head, task, dims)
  let (exponent, steps) = (memory.exponent, memory.steps)
  for t in 0..<task.count {
    memory.step(to: t, x, head, task)
    let (row, product) = (memory.mixing + t * SSDDims.chunk, product + t * SSDDims.chunk)
    for s in 0..<SSDDims.chunk { row[s] = fastExp(exponent[s]) * steps[s] * product[s] }
  }
}
