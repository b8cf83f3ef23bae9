import Kernels
import TensorStorage

extension GatedLinearAttentionBlock {
  /// Gradients of `forward`, as `RecurrentBlock` says.
  public func backward(
    inPlace dx: Floats, x: Floats, state: Floats, dstateInPlace dstate: Floats, gradients: Floats?,
    _ context: BlockContext
  ) {
    var savedPlan = MemoryPlan(context.saved)
    let saved = Saved(&savedPlan, configuration, context.dims)
    feedForwardBackward(inPlace: dx, saved, gradients, context)
    mixerBackward(inPlace: dx, x: x, state: state, dstate: dstate, saved, gradients, context)
  }

  /// Adds the MLP's share to `dx`, the gradient of the block's output.
  private func feedForwardBackward(
    inPlace dx: Floats, _ saved: Saved, _ gradients: Floats?, _ context: BlockContext
  ) {
    let (c, w, rows) = (configuration, context.parameters, context.dims.rows)
    let (width, inner) = (c.hiddenSize, c.intermediateSize)
    var plan = MemoryPlan(context.scratch)
    let partials = plan.take(RowTiles(rows).count * width)
    let mark = plan.used
    // The hidden rows, then their gradient in the same place.
    let hidden = plan.take(rows * inner)
    if gradients != nil {
      swiGLUForward(gate: saved.gate, up: saved.up, into: hidden, count: rows * inner)
    }
    context.linearBackward(
      Matrix(dx, rows, width), input: Matrix(hidden, rows, inner), offset: offsets.mlpDown,
      into: Matrix(hidden, rows, inner), accumulate: false, gradients)
    swiGLUBackward(
      hidden, gateInPlace: saved.gate, upInPlace: saved.up, count: rows * inner)

    plan.rewind(to: mark)
    let y = plan.take(rows * width)
    let dy = plan.take(rows * width)
    if gradients != nil {
      rmsNormRecompute(
        saved.middle, weight: w + offsets.mlpNorm, rstd: saved.mlpRstd, into: y, rows: rows,
        width: width)
    }
    context.withWeightOperand(Matrix(y, rows, width), gradients) { y in
      context.linearBackward(
        Matrix(saved.gate, rows, inner), input: y, offset: offsets.mlpGate,
        into: Matrix(dy, rows, width), accumulate: false, gradients)
      context.linearBackward(
        Matrix(saved.up, rows, inner), input: y, offset: offsets.mlpUp,
        into: Matrix(dy, rows, width), accumulate: true, gradients)
    }
    rmsNormBackward(
      dy, x: saved.middle, weight: w + offsets.mlpNorm, rstd: saved.mlpRstd, into: dx,
      accumulate: true, dweight: gradients.map { $0 + offsets.mlpNorm }, scratch: partials,
      rows: rows, width: width)
  }

  /// Adds the mixer's share to `dx`, the gradient of `middle`.
  private func mixerBackward(
    inPlace dx: Floats, x: Floats, state: Floats, dstate: Floats, _ saved: Saved,
    _ gradients: Floats?, _ context: BlockContext
  ) {
    let (c, w, dims) = (configuration, context.parameters, context.dims)
    let rows = dims.rows
    var plan = MemoryPlan(context.scratch)
    let partials = plan.take(
      RowTiles(rows).count * max(c.hiddenSize, 2 * c.headValueDim, c.keyDim))
    outputBackward(dx, saved, gradients, context, partials: partials, plan)

    let projected = recurrenceBackward(
      startState(state, saved, context), State(dstate, self, batch: dims.batch),
      saved, gradients, context, partials: partials, &plan)
    let y = plan.take(rows * c.hiddenSize)
    let dy = plan.take(rows * c.hiddenSize)
    let dlow = plan.take(rows * c.gateRank)
    if gradients != nil {
      rmsNormRecompute(
        x, weight: w + offsets.attentionNorm, rstd: saved.attentionRstd, into: y, rows: rows,
        width: c.hiddenSize)
    }
    context.withWeightOperand(Matrix(y, rows, c.hiddenSize), gradients) {
      projectionBackward(
        projected, dlow: dlow, input: $0, into: Matrix(dy, rows, c.hiddenSize), saved, gradients,
        context)
    }
    rmsNormBackward(
      dy, x: x, weight: w + offsets.attentionNorm, rstd: saved.attentionRstd,
      into: dx, accumulate: true, dweight: gradients.map { $0 + offsets.attentionNorm },
      scratch: partials, rows: rows, width: c.hiddenSize)
  }

  /// Gradients of the projections' weights and of their common input.
  private func projectionBackward(
    _ projected: GLAGradients, dlow: Floats, input: Matrix, into dinput: Matrix, _ saved: Saved,
    _ gradients: Floats?, _ context: BlockContext
  ) {
    let (c, rows) = (configuration, context.dims.rows)
    context.linearBackward(
      Matrix(projected.dq, rows, c.keyDim), input: input, offset: offsets.query, into: dinput,
      accumulate: false, gradients)
    context.linearBackward(
      Matrix(projected.dk, rows, c.projectedKeyDim), input: input, offset: offsets.key,
      into: dinput, accumulate: true, gradients)
    context.linearBackward(
      Matrix(projected.dv, rows, c.projectedValueDim), input: input, offset: offsets.value,
      into: dinput, accumulate: true, gradients)
    if let gate = offsets.outputGate {
      context.linearBackward(
        Matrix(saved.outputGate, rows, c.valueDim), input: input, offset: gate, into: dinput,
        accumulate: true, gradients)
    }
    let dlow = Matrix(dlow, rows, c.gateRank)
    context.linearBackward(
      Matrix(projected.dg, rows, c.projectedKeyDim), input: Matrix(saved.low, rows, c.gateRank),
      offset: offsets.gate, into: dlow, accumulate: false, gradients)
    context.linearBackward(
      dlow, input: input, offset: offsets.low, into: dinput, accumulate: true, gradients)
  }

  /// From the gradient of `middle` to those of the recurrence's output and of the output gate, which
  /// take the places of `saved.o` and `saved.outputGate`.
  private func outputBackward(
    _ dmiddle: Floats, _ saved: Saved, _ gradients: Floats?, _ context: BlockContext,
    partials: Floats, _ plan: MemoryPlan
  ) {
    let (c, w, rows) = (configuration, context.parameters, context.dims.rows)
    var plan = plan
    // The normed rows, then their gradient in the same place.
    let normed = plan.take(rows * c.valueDim)
    let dims = normDims(context.dims)
    let norm = offsets.outputNorm.map { w + $0 }
    let gate = offsets.outputGate.map { _ in saved.outputGate }
    if gradients != nil {
      gatedHeadNormForward(
        saved.o, weight: norm, gate: gate, into: normed, rstd: saved.outputRstd, dims: dims)
    }
    context.linearBackward(
      Matrix(dmiddle, rows, c.hiddenSize), input: Matrix(normed, rows, c.valueDim),
      offset: offsets.output, into: Matrix(normed, rows, c.valueDim), accumulate: false,
      gradients)
    gatedHeadNormBackward(
      normed, x: saved.o, weight: norm, gate: gate, rstd: saved.outputRstd, into: saved.o,
      dgate: gate, dweight: context.gradient(offsets.outputNorm, gradients), scratch: partials,
      dims: dims)
  }

  /// Gradients of the projected q, k, v and gate logits, from that of the output in `saved.o`.
  private func recurrenceBackward(
    _ state: State, _ dstate: State, _ saved: Saved, _ gradients: Floats?,
    _ context: BlockContext, partials: Floats, _ plan: inout MemoryPlan
  ) -> GLAGradients {
    let (c, w, dims) = (configuration, context.parameters, context.dims)
    let rows = dims.rows
    let keys = rows * c.headCount * c.stateKeyDim
    var d = GLAGradients(
      dq: plan.take(keys), dk: plan.take(keys), dv: plan.take(rows * c.valueDim),
      dg: plan.take(keys))
    let logits = gateLogits(saved, context, &plan)
    let inputs = recurrenceInputs(
      saved, logits: logits, state, advancesTails: false, context, &plan)
    let read = mixed(inputs, context, &plan)
    attentionDims(dims).backward(
      saved.o, read, start: state.recurrent, dstateInPlace: dstate.recurrent, into: d,
      context.parts, &plan)
    d = unmixed(d, of: inputs, gradients, context, &plan)

    let dtails = localTailGradients(dstate, context, &plan)
    func transformed(
      _ transform: ChannelTransform, _ dy: Floats, _ x: Floats, _ weight: Int?, _ tail: Floats,
      _ dtail: Floats, _ plan: inout MemoryPlan
    ) -> Floats {
      transform.within(context.history).backward(
        dy, x: x, weight: weight.map { w + $0 }, dweight: context.gradient(weight, gradients),
        tail: tail, dtail: dtail, dims: dims, plan: &plan)
    }
    d.dq = transformed(
      queryTransform, d.dq, saved.q, offsets.queryConv, state.tails.query, dtails.query, &plan)
    d.dk = transformed(
      keyTransform, d.dk, saved.k, offsets.keyConv, state.tails.key, dtails.key, &plan)
    d.dv = transformed(
      valueTransform, d.dv, saved.v, offsets.valueConv, state.tails.value, dtails.value, &plan)
    d.dg = transformed(
      gateTransform, d.dg, logits, nil, state.recurrent, dstate.recurrent, &plan)
    exchangeTailGradients(dtails, dstate, accumulatingInto: d, context, &plan)
    logGateBackward(
      logits, bias: w + offsets.gateBias, inPlace: d.dg, rows: rows, width: c.projectedKeyDim,
      normalizer: c.gateNormalizer, minimum: minimumGate, history: context.history)
    if let gradients {
      columnSums(
        d.dg, rows: rows, width: c.projectedKeyDim, scratch: partials,
        accumulatingInto: gradients + offsets.gateBias)
    }
    return d
  }
}
