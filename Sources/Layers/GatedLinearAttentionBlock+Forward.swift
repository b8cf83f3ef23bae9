import Kernels
import TensorStorage

extension GatedLinearAttentionBlock {
  /// Mixes tokens, then channels, as `RecurrentBlock` says.
  public func forward(
    _ x: Floats, into y: Floats?, stateInPlace state: Floats, _ context: BlockContext
  ) {
    var savedPlan = MemoryPlan(context.saved)
    let saved = Saved(&savedPlan, configuration, context.dims)
    mixerForward(x, into: y.map { _ in saved.middle }, state: state, saved, context)
    if let y { feedForward(saved.middle, into: y, saved, context) }
  }

  /// `middle = x + o_proj(norm_h(o) silu(g_proj y))`; nothing but the next state without `middle`.
  private func mixerForward(
    _ x: Floats, into middle: Floats?, state: Floats, _ saved: Saved, _ context: BlockContext
  ) {
    let (c, w, dims) = (configuration, context.parameters, context.dims)
    let rows = dims.rows
    var plan = MemoryPlan(context.scratch)
    let y = plan.take(rows * c.hiddenSize)
    rmsNormForward(
      x, weight: w + offsets.attentionNorm, into: y, rstd: saved.attentionRstd, rows: rows,
      width: c.hiddenSize, epsilon: normEpsilon)
    project(y, saved, wantsGate: middle != nil, context)
    plan.rewind(to: 0)

    let state = State(state, self, batch: dims.batch)
    let start = exchangeTails(saved, state, context, &plan)
    let logits = gateLogits(saved, context, &plan)
    let inputs = mixed(
      recurrenceInputs(
        saved, logits: logits, start, advancesTails: context.parts == nil, context, &plan),
      context, &plan)
    attentionDims(dims).forward(
      inputs, start: start.recurrent, into: saved.o, final: state.recurrent, context.parts, &plan)

    guard let middle else { return }
    plan.rewind(to: 0)
    let normed = plan.take(rows * c.valueDim)
    gatedHeadNormForward(
      saved.o, weight: offsets.outputNorm.map { w + $0 },
      gate: offsets.outputGate.map { _ in saved.outputGate }, into: normed,
      rstd: saved.outputRstd, dims: normDims(dims))
    copy(x, count: rows * c.hiddenSize, into: middle)
    matrixProduct(
      Matrix(normed, rows, c.valueDim),
      Matrix(w + offsets.output, c.hiddenSize, c.valueDim).transposed,
      accumulatingInto: Matrix(middle, rows, c.hiddenSize))
  }

  /// q, k, v, the output gate (if it is wanted) and the gates' low rank of normed rows `y`.
  private func project(
    _ y: Floats, _ saved: Saved, wantsGate: Bool, _ context: BlockContext
  ) {
    let (c, w, rows) = (configuration, context.parameters, context.dims.rows)
    withSharedOperand(Matrix(y, rows, c.hiddenSize)) { y in
      func linear(_ offset: Int, _ width: Int, into target: Floats) {
        matrixProduct(
          y, Matrix(w + offset, width, c.hiddenSize).transposed, into: Matrix(target, rows, width))
      }
      linear(offsets.query, c.keyDim, into: saved.q)
      linear(offsets.key, c.projectedKeyDim, into: saved.k)
      linear(offsets.value, c.projectedValueDim, into: saved.v)
      if wantsGate, let gate = offsets.outputGate {
        linear(gate, c.valueDim, into: saved.outputGate)
      }
      linear(offsets.low, c.gateRank, into: saved.low)
    }
  }

  /// The logits of the forget gates, before the bias: a product so small that backward repeats it.
  func gateLogits(
    _ saved: Saved, _ context: BlockContext, _ plan: inout MemoryPlan
  ) -> Floats {
    let (c, rows) = (configuration, context.dims.rows)
    let logits = plan.take(rows * c.projectedKeyDim)
    matrixProduct(
      Matrix(saved.low, rows, c.gateRank),
      Matrix(context.parameters + offsets.gate, c.projectedKeyDim, c.gateRank).transposed,
      into: Matrix(logits, rows, c.projectedKeyDim))
    return logits
  }

  /// What the recurrence reads, but for head mixing: transformed q, k, v and the log gates.
  func recurrenceInputs(
    _ saved: Saved, logits: Floats, _ state: State, advancesTails: Bool, _ context: BlockContext,
    _ plan: inout MemoryPlan
  ) -> GLAInputs {
    let (c, w, dims) = (configuration, context.parameters, context.dims)
    let q = queryTransform.within(context.history).forward(
      saved.q, weight: offsets.queryConv.map { w + $0 }, tail: state.tails.query,
      advancesTail: advancesTails, dims: dims, plan: &plan)
    let k = keyTransform.within(context.history).forward(
      saved.k, weight: offsets.keyConv.map { w + $0 }, tail: state.tails.key,
      advancesTail: advancesTails, dims: dims, plan: &plan)
    let v = valueTransform.within(context.history).forward(
      saved.v, weight: offsets.valueConv.map { w + $0 }, tail: state.tails.value,
      advancesTail: advancesTails, dims: dims, plan: &plan)
    let logGates = plan.take(dims.rows * c.projectedKeyDim)
    logGateForward(
      logits, bias: w + offsets.gateBias, into: logGates, rows: dims.rows,
      width: c.projectedKeyDim, normalizer: c.gateNormalizer, minimum: minimumGate,
      history: context.history)
    let g = gateTransform.forward(
      logGates, weight: nil, tail: state.recurrent, advancesTail: false, dims: dims, plan: &plan)
    return GLAInputs(q: q, k: k, v: v, g: g)
  }

  /// `out = x + down(silu(gate y') * up y')`.
  private func feedForward(
    _ x: Floats, into out: Floats, _ saved: Saved, _ context: BlockContext
  ) {
    let (c, w, rows) = (configuration, context.parameters, context.dims.rows)
    // The hidden rows take the place of the normed ones.
    let (y, hidden) = (context.scratch, context.scratch)
    rmsNormForward(
      x, weight: w + offsets.mlpNorm, into: y, rstd: saved.mlpRstd, rows: rows,
      width: c.hiddenSize, epsilon: normEpsilon)
    withSharedOperand(Matrix(y, rows, c.hiddenSize)) { y in
      func linear(_ offset: Int, into target: Floats) {
        matrixProduct(
          y, Matrix(w + offset, c.intermediateSize, c.hiddenSize).transposed,
          into: Matrix(target, rows, c.intermediateSize))
      }
      linear(offsets.mlpGate, into: saved.gate)
      linear(offsets.mlpUp, into: saved.up)
    }
    swiGLUForward(
      gate: saved.gate, up: saved.up, into: hidden, count: rows * c.intermediateSize)
    copy(x, count: rows * c.hiddenSize, into: out)
    matrixProduct(
      Matrix(hidden, rows, c.intermediateSize),
      Matrix(w + offsets.mlpDown, c.hiddenSize, c.intermediateSize).transposed,
      accumulatingInto: Matrix(out, rows, c.hiddenSize))
  }
}
