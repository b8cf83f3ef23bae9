import Kernels
import TensorStorage

extension Mamba2Block {
  /// Computes gradients and uses up what forward saved.
  ///
  /// See `RecurrentBlock`.
  public func backward(
    inPlace dx: Floats, x: Floats, state: Floats, dstateInPlace dstate: Floats, gradients: Floats?,
    _ context: BlockContext
  ) {
    let dims = context.dims
    var savedPlan = MemoryPlan(context.saved)
    let saved = Saved(&savedPlan, self, dims)
    var plan = MemoryPlan(context.scratch)
    let partials = plan.take(partialCount(dims))
    outputBackward(dx, saved, gradients, context, partials: partials, plan)
    let projected = recurrenceBackward(
      startState(state, saved, context), State(dstate, self, batch: dims.batch), saved,
      gradients, context, partials: partials, &plan)
    projectionBackward(
      inPlace: dx, x: x, saved, projected, gradients, context, partials: partials, &plan)
  }

  /// From the gradient of the block's output to those of the gated norm's input and of its gate, which
  /// take the places of `saved.y` and `saved.z`.
  private func outputBackward(
    _ dout: Floats, _ saved: Saved, _ gradients: Floats?, _ context: BlockContext,
    partials: Floats, _ plan: MemoryPlan
  ) {
    let (c, w, rows) = (configuration, context.parameters, context.dims.rows)
    var plan = plan
    // The norm's output, then its gradient in the same place.
    let gated = plan.take(rows * c.innerSize)
    let dims = normDims(context.dims)
    if gradients != nil {
      gatedRMSNormForward(
        saved.y, gate: saved.z, weight: w + offsets.gatedNorm, into: gated, rstd: saved.gatedRstd,
        dims: dims)
    }
    context.linearBackward(
      Matrix(dout, rows, c.hiddenSize), input: Matrix(gated, rows, c.innerSize),
      offset: offsets.output, into: Matrix(gated, rows, c.innerSize), accumulate: false, gradients)
    if let dbias = context.gradient(offsets.outputBias, gradients) {
      columnSums(
        dout, rows: rows, width: c.hiddenSize, scratch: partials, accumulatingInto: dbias)
    }
    gatedRMSNormBackward(
      gated, x: saved.y, gate: saved.z, weight: w + offsets.gatedNorm, rstd: saved.gatedRstd,
      into: saved.y, dgate: saved.z, dweight: gradients.map { $0 + offsets.gatedNorm },
      scratch: partials, dims: dims)
  }

  /// Gradients of the projected `[x | B | C]` and of the time steps' logits, from that of the
  /// recurrence's output in `saved.y`.
  private func recurrenceBackward(
    _ state: State, _ dstate: State, _ saved: Saved, _ gradients: Floats?,
    _ context: BlockContext, partials: Floats, _ plan: inout MemoryPlan
  ) -> (convolved: Floats, steps: Floats) {
    let (c, w, rows, dy) = (configuration, context.parameters, context.dims.rows, saved.y)
    let dconvolved = plan.take(rows * layout.channelCount)
    let ddt = plan.take(rows * c.headCount)
    let inputs = recurrenceInputs(saved, state, advancesTail: false, context, &plan)
    let dims = recurrenceDims(context.dims)
    let d = SSDGradients(
      dx: dconvolved + layout.xChannels.lowerBound, ddt: ddt,
      daLog: gradients.map { $0 + offsets.aLog },
      db: dconvolved + layout.bChannels.lowerBound, dc: dconvolved + layout.cChannels.lowerBound)
    dims.backward(
      dy, inputs, start: state.recurrent, dstateInPlace: dstate.recurrent, into: d, context.parts,
      &plan)
    skipBackward(
      dy, x: inputs.x, weight: w + offsets.skip, accumulatingInto: d.dx,
      dweight: gradients.map { $0 + offsets.skip }, scratch: partials, dims: dims)

    timeStepBackward(
      saved.steps, bias: w + offsets.stepBias, inPlace: ddt, rows: rows, heads: c.headCount,
      limit: c.timeStepLimit)
    if let gradients {
      columnSums(
        ddt, rows: rows, width: c.headCount, scratch: partials,
        accumulatingInto: gradients + offsets.stepBias)
    }
    let mark = plan.used
    let dtail = localTailGradient(dstate, context, &plan)
    let convolution = convolutionDims(context.dims)
    causalConvolutionBackward(
      dconvolved, convolutionArrays(saved, state, context), into: dconvolved,
      dtailInPlace: dtail, dweight: gradients.map { $0 + offsets.convolution },
      dbias: context.gradient(offsets.convolutionBias, gradients),
      scratch: plan.take(convolution.scratchCount), dims: convolution)
    exchangeTailGradient(dtail, dstate, accumulatingInto: dconvolved, context, &plan)
    plan.rewind(to: mark)
    return (dconvolved, ddt)
  }

  /// Gradients of `in_proj` and the pre-norm; adds the input's share to `dx`.
  private func projectionBackward(
    inPlace dx: Floats, x: Floats, _ saved: Saved, _ projected: (convolved: Floats, steps: Floats),
    _ gradients: Floats?, _ context: BlockContext, partials: Floats, _ plan: inout MemoryPlan
  ) {
    let (c, w, tokens) = (configuration, context.parameters, context.dims.rows)
    let normed = plan.take(tokens * c.hiddenSize)
    let dnormed = plan.take(tokens * c.hiddenSize)
    if gradients != nil {
      rmsNormRecompute(
        x, weight: w + offsets.norm, rstd: saved.rstd, into: normed, rows: tokens,
        width: c.hiddenSize)
    }
    func part(_ rows: Range<Int>, _ dout: Floats, of input: Matrix, accumulate: Bool) {
      context.linearBackward(
        Matrix(dout, tokens, rows.count), input: input,
        offset: offsets.input + rows.lowerBound * c.hiddenSize,
        into: Matrix(dnormed, tokens, c.hiddenSize), accumulate: accumulate, gradients)
      guard let dbias = context.gradient(offsets.inputBias, gradients) else { return }
      columnSums(
        dout, rows: tokens, width: rows.count, scratch: partials,
        accumulatingInto: dbias + rows.lowerBound)
    }
    context.withWeightOperand(Matrix(normed, tokens, c.hiddenSize), gradients) { normed in
      part(layout.z, saved.z, of: normed, accumulate: false)
      part(layout.convolved, projected.convolved, of: normed, accumulate: true)
      part(layout.dt, projected.steps, of: normed, accumulate: true)
    }
    rmsNormBackward(
      dnormed, x: x, weight: w + offsets.norm, rstd: saved.rstd, into: dx, accumulate: true,
      dweight: gradients.map { $0 + offsets.norm }, scratch: partials, rows: tokens,
      width: c.hiddenSize)
  }
}
