import Kernels
import TensorStorage

extension Mamba2Block {
  /// Computes the block's output and the next state.
  ///
  /// See `RecurrentBlock`.
  public func forward(
    _ x: Floats, into out: Floats?, stateInPlace state: Floats, _ context: BlockContext
  ) {
    let (c, w, dims) = (configuration, context.parameters, context.dims)
    var savedPlan = MemoryPlan(context.saved)
    let saved = Saved(&savedPlan, self, dims)
    var plan = MemoryPlan(context.scratch)
    let normed = plan.take(dims.rows * c.hiddenSize)
    rmsNormForward(
      x, weight: w + offsets.norm, into: normed, rstd: saved.rstd, rows: dims.rows,
      width: c.hiddenSize, epsilon: c.normEpsilon)
    withSharedOperand(Matrix(normed, dims.rows, c.hiddenSize)) { normed in
      if out != nil { project(normed, saved.z, rows: layout.z, context) }
      project(normed, saved.projected, rows: layout.convolved, context)
      project(normed, saved.steps, rows: layout.dt, context)
    }
    plan.rewind(to: 0)

    let state = State(state, self, batch: dims.batch)
    let start = exchangeTail(saved, state, context, &plan)
    let inputs = recurrenceInputs(
      saved, start, advancesTail: context.parts == nil, context, &plan)
    recurrenceDims(dims).forward(
      inputs, start: start.recurrent, into: saved.y, final: state.recurrent, context.parts, &plan)
    guard let out else { return }
    skipForward(
      inputs.x, weight: w + offsets.skip, accumulatingInto: saved.y, dims: recurrenceDims(dims))
    output(x, into: out, saved, context)
  }

  /// Some rows of `in_proj` applied to normed tokens.
  private func project(
    _ normed: Matrix, _ target: Floats, rows: Range<Int>, _ context: BlockContext
  ) {
    let (width, tokens) = (configuration.hiddenSize, context.dims.rows)
    let weight = context.parameters + offsets.input + rows.lowerBound * width
    matrixProduct(
      normed, Matrix(weight, rows.count, width).transposed,
      into: Matrix(target, tokens, rows.count))
    if let bias = offsets.inputBias {
      addBias(
        context.parameters + bias + rows.lowerBound, accumulatingInto: target, rows: tokens,
        width: rows.count)
    }
  }

  /// What the recurrence reads: convolved x, B and C, the time steps and the decay rates.
  func recurrenceInputs(
    _ saved: Saved, _ state: State, advancesTail: Bool, _ context: BlockContext,
    _ plan: inout MemoryPlan
  ) -> SSDInputs {
    let (c, w, dims) = (configuration, context.parameters, context.dims)
    let convolved = plan.take(dims.rows * layout.channelCount)
    let dt = plan.take(dims.rows * c.headCount)
    let rate = plan.take(c.headCount)
    let mark = plan.used
    let convolution = convolutionDims(dims)
    causalConvolutionForward(
      convolutionArrays(saved, state, context), into: convolved,
      nextTail: advancesTail ? state.tail : nil, scratch: plan.take(convolution.scratchCount),
      dims: convolution)
    plan.rewind(to: mark)
    timeStepForward(
      saved.steps, bias: w + offsets.stepBias, into: dt, rows: dims.rows, heads: c.headCount,
      limit: c.timeStepLimit)
    decayRates(w + offsets.aLog, into: rate, heads: c.headCount)
    return SSDInputs(
      x: convolved + layout.xChannels.lowerBound, dt: dt, rate: rate,
      b: convolved + layout.bChannels.lowerBound, c: convolved + layout.cChannels.lowerBound,
      history: context.history)
  }

  func convolutionArrays(
    _ saved: Saved, _ state: State, _ context: BlockContext
  ) -> ConvolutionArrays {
    ConvolutionArrays(
      x: saved.projected, tail: state.tail, weight: context.parameters + offsets.convolution,
      bias: offsets.convolutionBias.map { context.parameters + $0 }, history: context.history)
  }

  /// `out = x + out_proj(norm(y * silu(z)))`.
  private func output(
    _ x: Floats, into out: Floats, _ saved: Saved, _ context: BlockContext
  ) {
    let (c, w, rows) = (configuration, context.parameters, context.dims.rows)
    let gated = context.scratch
    gatedRMSNormForward(
      saved.y, gate: saved.z, weight: w + offsets.gatedNorm, into: gated, rstd: saved.gatedRstd,
      dims: normDims(context.dims))
    copy(x, count: rows * c.hiddenSize, into: out)
    if let bias = offsets.outputBias {
      addBias(w + bias, accumulatingInto: out, rows: rows, width: c.hiddenSize)
    }
    matrixProduct(
      Matrix(gated, rows, c.innerSize),
      Matrix(w + offsets.output, c.hiddenSize, c.innerSize).transposed,
      accumulatingInto: Matrix(out, rows, c.hiddenSize))
  }
}
