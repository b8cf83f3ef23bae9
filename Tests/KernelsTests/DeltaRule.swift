import Kernels
import TensorStorage

// The delta rule, S_t = (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T, o_t = S_t^T q_t, token by token
// inside its chunks: a recurrence whose transition is a matrix, to test what the driver asks of one.

struct DeltaRule: ChunkedRecurrence {
  let batch, length, keyDim, valueDim: Int

  static let chunk = 4

  struct Inputs {
    /// `[B, T, K]`, `[B, T, K]`, `[B, T, V]`, `[B, T]`.
    let q, k, v, beta: Floats
  }

  struct Gradients {
    let dq, dk, dv, dbeta: Floats
  }

  struct Scratch {
    /// The product of a sequence's steps, `[B, K, K]`.
    let transition: Floats
  }

  struct Transition: StateTransition {
    /// `[B, K, K]`.
    let matrix: Floats

    func carry(
      _ state: Matrix, accumulatingInto end: Matrix, _ task: StateTask, _ direction: FoldDirection
    ) {
      let matrix = Matrix(matrix + task.set * state.rows * state.rows, state.rows, state.rows)
      serialProduct(
        direction == .forward ? matrix : matrix.transposed, state, into: end, accumulate: true)
    }
  }

  var chunks: Int { (length + Self.chunk - 1) / Self.chunk }
  var tasksPerChunk: Int { batch }
  var columnBlocks: ColumnBlocks { ColumnBlocks(sets: batch, width: valueDim) }
  var stateCount: Int { batch * keyDim * valueDim }
  var transitionCount: Int { batch * keyDim * keyDim }

  func scratch(_ plan: inout MemoryPlan, backward: Bool) -> Scratch {
    Scratch(transition: plan.take(transitionCount))
  }

  func state(_ base: Floats, _ task: StateTask) -> Matrix {
    Matrix(
      base + task.set * keyDim * valueDim + task.columns.lowerBound, keyDim, task.columns.count,
      stride: valueDim)
  }

  func transition(_ base: Floats) -> Transition { Transition(matrix: base) }

  /// Rows of a chunk's tokens in `[B * T]`.
  private func rows(_ sequence: Int, _ chunk: Int) -> Range<Int> {
    let first = sequence * length + chunk * Self.chunk
    return first..<min(first + Self.chunk, (sequence + 1) * length)
  }

  // MARK: One token

  /// `k^T S` of one column.
  private func project(_ state: Matrix, _ k: Floats, _ column: Int) -> Float {
    (0..<keyDim).reduce(0) { $0 + k[$1] * state.row($1)[column] }
  }

  /// `S += beta k (v - S^T k)^T`; without values `S -= beta k (S^T k)^T`.
  private func step(_ state: Matrix, _ x: Inputs, _ row: Int, _ v: Floats?) {
    let k = x.k + row * keyDim
    for c in 0..<state.columns {
      let change = x.beta[row] * ((v?[c] ?? 0) - project(state, k, c))
      for i in 0..<keyDim { state.row(i)[c] += k[i] * change }
    }
  }

  /// `G += q do^T`.
  private func addRead(_ dstate: Matrix, _ q: Floats, _ dout: Floats) {
    for i in 0..<keyDim {
      for c in 0..<dstate.columns { dstate.row(i)[c] += q[i] * dout[c] }
    }
  }

  private func withCopy(_ matrix: Matrix, _ body: (Matrix) -> Void) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: keyDim * matrix.columns) { memory in
      guard let base = memory.baseAddress else { return }
      let copy = Matrix(base, keyDim, matrix.columns)
      for i in 0..<keyDim { copy.row(i).update(from: matrix.row(i), count: matrix.columns) }
      body(copy)
    }
  }

  // MARK: Forward

  func prepare(_ x: Inputs, _ s: Scratch, task sequence: Int) {
    guard sequence < batch else { return }
    let product = Matrix(s.transition + sequence * keyDim * keyDim, keyDim, keyDim)
    for i in 0..<keyDim { for j in 0..<keyDim { product.row(i)[j] = i == j ? 1 : 0 } }
    for row in (sequence * length)..<((sequence + 1) * length) { step(product, x, row, nil) }
  }

  func read(
    _ state: Matrix, chunk: Int, _ task: StateTask, _ x: Inputs, _ s: Scratch, into o: Floats
  ) {
    withCopy(state) { state in
      for row in rows(task.set, chunk) {
        let offset = row * valueDim + task.columns.lowerBound
        step(state, x, row, x.v + offset)
        for c in 0..<state.columns { o[offset + c] = project(state, x.q + row * keyDim, c) }
      }
    }
  }

  func advance(_ state: Matrix, over chunk: Int, _ task: StateTask, _ x: Inputs, _ s: Scratch) {
    for row in rows(task.set, chunk) {
      step(state, x, row, x.v + row * valueDim + task.columns.lowerBound)
    }
  }

  // MARK: Backward

  func prepareBackward(_ dout: Floats, _ x: Inputs, _ s: Scratch, task: Int) {
    prepare(x, s, task: task)
  }

  func retreat(
    _ dstate: Matrix, over chunk: Int, _ task: StateTask, _ dout: Floats, _ x: Inputs,
    _ s: Scratch
  ) {
    for row in rows(task.set, chunk).reversed() {
      addRead(
        dstate, x.q + row * keyDim, dout + row * valueDim + task.columns.lowerBound)
      step(dstate, x, row, nil)
    }
  }

  func chunkBackward(
    _ dout: Floats, _ x: Inputs, _ s: Scratch, _ states: SpanStates, task: Int,
    into d: Gradients
  ) {
    let chunk = states.span.lowerBound + task % states.span.count
    let all = StateTask(set: task / states.span.count, columns: 0..<valueDim)
    withCopy(state(states.dend(of: chunk), all)) { dstate in
      for row in rows(all.set, chunk).reversed() {
        addRead(dstate, x.q + row * keyDim, dout + row * valueDim)
        withCopy(state(states.start(of: chunk), all)) { state in
          for before in rows(all.set, chunk).lowerBound..<row {
            step(state, x, before, x.v + before * valueDim)
          }
          tokenBackward(state, dstate, x, row, dout, into: d)
        }
        step(dstate, x, row, nil)
      }
    }
  }

  /// Gradients of one token, from the state before it and the gradient of that after it.
  private func tokenBackward(
    _ state: Matrix, _ dstate: Matrix, _ x: Inputs, _ row: Int, _ dout: Floats, into d: Gradients
  ) {
    let (k, v, beta) = (x.k + row * keyDim, x.v + row * valueDim, x.beta[row])
    let (dk, dq) = (d.dk + row * keyDim, d.dq + row * keyDim)
    for i in 0..<keyDim { (dk[i], dq[i]) = (0, 0) }
    d.dbeta[row] = 0
    for c in 0..<valueDim {
      let (error, through) = (v[c] - project(state, k, c), project(dstate, k, c))
      d.dv[row * valueDim + c] = beta * through
      d.dbeta[row] += through * error
      for i in 0..<keyDim {
        dk[i] += beta * (dstate.row(i)[c] * error - state.row(i)[c] * through)
      }
    }
    step(state, x, row, v)
    for i in 0..<keyDim {
      for c in 0..<valueDim { dq[i] += state.row(i)[c] * dout[row * valueDim + c] }
    }
  }

  func storeTransition(_ s: Scratch, into base: Floats) {
    base.update(from: s.transition, count: transitionCount)
  }
}

extension DeltaRule {
  /// The naive loop in `Double`: outputs and final state.
  static func recurrent(
    q: [Double], k: [Double], v: [Double], beta: [Double], state: [Double], batch: Int
  ) -> (o: [Double], state: [Double]) {
    let rows = beta.count
    let (keyDim, valueDim) = (k.count / rows, v.count / rows)
    var (o, state) = ([Double](repeating: 0, count: v.count), state)
    for row in 0..<rows {
      let sequence = row / (rows / batch)
      for c in 0..<valueDim {
        func index(_ i: Int) -> Int { (sequence * keyDim + i) * valueDim + c }
        let read = (0..<keyDim).reduce(0) { $0 + k[row * keyDim + $1] * state[index($1)] }
        let change = beta[row] * (v[row * valueDim + c] - read)
        for i in 0..<keyDim { state[index(i)] += k[row * keyDim + i] * change }
        o[row * valueDim + c] = (0..<keyDim).reduce(0) {
          $0 + q[row * keyDim + $1] * state[index($1)]
        }
      }
    }
    return (o, state)
  }
}
