import Kernels
import ReferenceKernels
import TensorStorage

/// Mamba2's mixer, `out_proj(norm(y * silu(z)))`, of normed rows u.
///
/// `[z | x | B | C | dt] = in_proj(u)`; a causal convolution and a SiLU over `[x | B | C]`;
/// `dt = clamp(softplus(dt + dt_bias))`; `y` is the state space recurrence of those plus `D x`
/// (arXiv:2405.21060; agrees with transformers' `Mamba2Mixer`).
public struct Mamba2Mixer: TokenMixer {
  /// Shape and options.
  public let configuration: Mamba2Configuration
  /// The rows of `in_proj` that make z, the convolution's input and dt.
  public let gate, convolved, steps: Linear
  /// `conv1d`.
  public let convolution: ShortConvolution
  /// `dt_bias`, `A_log` and `D`, `[H]` each.
  public let stepBias, aLog, skip: ParameterSlot
  /// `norm`.
  public let gatedNorm: GatedNorm
  /// `out_proj`.
  public let output: Linear
  /// The convolution, whose tail is part of the state.
  public let convolutions: [ShortConvolution]

  private let layout: Mamba2ProjectionLayout

  /// Declares the mixer's tensors, `NAME.in_proj.weight` and so on.
  ///
  /// A model from scratch starts as mamba_ssm's do: time steps log-uniform in 0.001 to 0.1, decay rates
  /// uniform in 1 to 16, `D` ones.
  init(_ c: Mamba2Configuration, _ name: String, _ scope: inout ParameterScope) {
    configuration = c
    layout = c.projection
    let projections = scope.packedLinear(
      name + ".in_proj", parts: [layout.z, layout.convolved, layout.dt], inputs: c.hiddenSize,
      hasBias: c.hasProjectionBias)
    (gate, convolved, steps) = (projections[0], projections[1], projections[2])
    convolution = ShortConvolution(
      name + ".conv1d", channels: layout.channelCount, taps: c.convolutionSize,
      hasBias: c.hasConvolutionBias, &scope)
    convolutions = [convolution]
    stepBias = scope.parameter(
      name + ".dt_bias", [c.headCount], .inverseSoftplusOfLogUniform(low: 0.001, high: 0.1))
    aLog = scope.parameter(name + ".A_log", [c.headCount], .logOfUniform(low: 1, high: 16))
    skip = scope.parameter(name + ".D", [c.headCount], .ones)
    gatedNorm = GatedNorm(
      name + ".norm", .gateThenNorm, heads: c.normGroupCount,
      width: c.innerSize / c.normGroupCount, epsilon: c.normEpsilon, &scope)
    output = scope.linear(
      name + ".out_proj", outputs: c.hiddenSize, inputs: c.innerSize,
      hasBias: c.hasProjectionBias)
  }

  /// Numbers in one sequence's recurrent state.
  public var recurrentStateCount: Int { configuration.recurrentStateCount }

  /// Multiplications and additions of one token in the recurrence, matrix products only.
  public var recurrenceFLOPsPerToken: Int {
    recurrence(SegmentDims(batch: 1, length: 1)).flopsPerToken
  }

  private func recurrence(_ dims: SegmentDims) -> SSDDims {
    SSDDims(
      batch: dims.batch, length: dims.length, heads: configuration.headCount,
      headDim: configuration.headDim, groups: configuration.groupCount,
      stateSize: configuration.stateSize, inputStride: layout.channelCount)
  }

  /// Activations kept from forward to backward.
  public struct Saved {
    /// `z`, the convolution's input and the time steps' logits, as projected.
    let z, projected, steps: Floats
    /// The gated norm's input: the recurrence's output with the `D` term; and its factors.
    let y, rstd: Floats
    /// The state before this part of a shared segment.
    let start: Floats
  }

  /// Takes memory for the activations.
  public func saved(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Saved {
    func rows(_ width: Int) -> Floats { plan.take(dims.rows * width) }
    return Saved(
      z: rows(gate.outputs), projected: rows(convolved.outputs), steps: rows(steps.outputs),
      y: rows(configuration.innerSize), rstd: gatedNorm.saved(&plan, dims),
      start: startState(&plan, dims))
  }

  // MARK: Forward

  /// z (if it is wanted), the convolution's input and the time steps' logits.
  public func project(
    _ x: Matrix, _ saved: Saved, wantsOutput: Bool, _ context: BlockContext
  ) {
    if wantsOutput { gate.forward(x, into: saved.z, context) }
    convolved.forward(x, into: saved.projected, context)
    steps.forward(x, into: saved.steps, context)
  }

  /// The recurrence, its gated norm and the output projection.
  public func finish(
    accumulatingInto out: Floats?, stateInPlace state: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) {
    let (rows, mark) = (context.dims.rows, context.scratch.used)
    let (state, dims) = (self.state(state, context), recurrence(context.dims))
    let start = exchangeTails(state, start: saved.start, &context) { _ in saved.projected }
    let inputs = inputs(
      saved, tails: start.tails, advancesTail: context.part == nil, &context)
    chunkSSDForward(
      inputs, start: start.recurrent, into: saved.y, final: state.recurrent, context.part,
      &context.scratch, dims: dims)
    if out != nil {
      context.run {
        skipForward(inputs.x, weight: context[skip], accumulatingInto: saved.y, dims: dims)
      }
    }
    context.scratch.rewind(to: mark)

    guard let out else { return }
    let gated = context.scratch.take(rows * configuration.innerSize)
    gatedNorm.forward(saved.y, gate: saved.z, into: gated, saved.rstd, context)
    output.forward(
      Matrix(gated, rows, configuration.innerSize), accumulatingInto: out, context)
  }

  /// What the recurrence reads: convolved x, B and C, the time steps and the decay rates.
  private func inputs(
    _ saved: Saved, tails: Floats, advancesTail: Bool, _ context: inout BlockContext
  ) -> SSDInputs {
    let (c, rows) = (configuration, context.dims.rows)
    let channels = context.scratch.take(rows * layout.channelCount)
    let dt = context.scratch.take(rows * c.headCount)
    let rate = context.scratch.take(c.headCount)
    convolution.forward(
      saved.projected, into: channels, tails: tails, advancesTail: advancesTail, &context)
    context.run {
      timeStepForward(
        saved.steps, bias: context[stepBias], into: dt, rows: rows, heads: c.headCount,
        limit: c.timeStepLimit)
      decayRates(context[aLog], into: rate, heads: c.headCount)
    }
    return SSDInputs(
      x: channels + layout.xChannels.lowerBound, dt: dt, rate: rate,
      b: channels + layout.bChannels.lowerBound, c: channels + layout.cChannels.lowerBound,
      history: context.history)
  }

  // MARK: Backward

  /// Gradients of what was projected; that of `z` takes its place.
  public struct Projected {
    let convolved, steps: Floats
  }

  /// Gradients of `[x | B | C]` before the convolution and of the time steps' logits.
  public func finishBackward(
    _ dout: Floats, state: Floats, dstateInPlace dstate: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) -> Projected {
    outputBackward(dout, saved, &context)
    let (rows, dims) = (context.dims.rows, recurrence(context.dims))
    let start = self.state(context.part == nil ? state : saved.start, context)
    let dstate = self.state(dstate, context)
    let dconvolved = context.scratch.take(rows * layout.channelCount)
    let ddt = context.scratch.take(rows * configuration.headCount)
    let inputs = inputs(saved, tails: start.tails, advancesTail: false, &context)
    let d = SSDGradients(
      dx: dconvolved + layout.xChannels.lowerBound, ddt: ddt, daLog: context.gradient(aLog),
      db: dconvolved + layout.bChannels.lowerBound, dc: dconvolved + layout.cChannels.lowerBound)
    chunkSSDBackward(
      saved.y, inputs, start: start.recurrent, dstateInPlace: dstate.recurrent, into: d,
      context.part, &context.scratch, dims: dims)
    skipBackward(saved.y, inputs, accumulatingInto: d.dx, dims, &context)
    stepsBackward(inPlace: ddt, saved, &context)

    let mark = context.scratch.used
    let dtails = localTailGradients(dstate, &context)
    convolution.backward(
      inPlace: dconvolved, x: saved.projected, tails: start.tails, dtails: dtails, &context)
    exchangeTailGradients(dtails, dstate, &context) { _ in dconvolved }
    context.scratch.rewind(to: mark)
    return Projected(convolved: dconvolved, steps: ddt)
  }

  /// From the gradient of the output to those of the gated norm's input and of its gate, which take the
  /// places of `saved.y` and `saved.z`.
  private func outputBackward(_ dout: Floats, _ saved: Saved, _ context: inout BlockContext) {
    let (rows, width, mark) = (context.dims.rows, configuration.innerSize, context.scratch.used)
    // The norm's output, then its gradient in the same place.
    let gated = context.scratch.take(rows * width)
    if context.gradients != nil {
      gatedNorm.forward(saved.y, gate: saved.z, into: gated, saved.rstd, context)
    }
    output.backward(dout, x: Matrix(gated, rows, width), into: gated, &context)
    gatedNorm.backward(
      gated, xInPlace: saved.y, gateInPlace: saved.z, saved.rstd, &context)
    context.scratch.rewind(to: mark)
  }

  /// Gradients of the `D` term.
  private func skipBackward(
    _ dy: Floats, _ inputs: SSDInputs, accumulatingInto dx: Floats, _ dims: SSDDims,
    _ context: inout BlockContext
  ) {
    let mark = context.scratch.used
    let partials = context.scratch.take(
      RowTiles(context.dims.rows).count * configuration.headCount)
    context.run {
      Kernels.skipBackward(
        dy, x: inputs.x, weight: context[skip], accumulatingInto: dx,
        dweight: context.gradient(skip), scratch: partials, dims: dims)
    }
    context.scratch.rewind(to: mark)
  }

  /// From the gradient of the time steps to that of their logits; adds that of `dt_bias`.
  private func stepsBackward(
    inPlace ddt: Floats, _ saved: Saved, _ context: inout BlockContext
  ) {
    context.run {
      timeStepBackward(
        saved.steps, bias: context[stepBias], inPlace: ddt, rows: context.dims.rows,
        heads: configuration.headCount, limit: configuration.timeStepLimit)
    }
    if let dbias = context.gradient(stepBias) {
      context.addColumnSums(ddt, width: configuration.headCount, accumulatingInto: dbias)
    }
  }

  /// Gradients of `in_proj` and of its input.
  public func projectBackward(
    _ d: Projected, x: Matrix, into dx: Floats, _ saved: Saved, _ context: inout BlockContext
  ) {
    gate.backward(saved.z, x: x, into: dx, &context)
    convolved.backward(d.convolved, x: x, into: dx, accumulate: true, &context)
    steps.backward(d.steps, x: x, into: dx, accumulate: true, &context)
  }

  // MARK: Reference

  /// The mixer in `Double`, from a state of zeros.
  public func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double] {
    let c = configuration
    let mixed = convolution.reference(
      convolved.reference(x, tensor), batch: batch, tensor)
    func channels(_ range: Range<Int>) -> [Double] {
      stride(from: 0, to: mixed.count, by: layout.channelCount).flatMap {
        mixed[($0 + range.lowerBound)..<($0 + range.upperBound)]
      }
    }
    let (stepBias, skip) = (tensor(stepBias), tensor(skip))
    let logits = steps.reference(x, tensor)
    let dt = logits.indices.map { i in
      let step = softplus(logits[i] + stepBias[i % c.headCount])
      return min(
        max(step, Double(c.timeStepLimit.lowerBound)), Double(c.timeStepLimit.upperBound))
    }
    let recurrence = RecurrentSSD(
      batch: batch, length: x.count / c.hiddenSize / batch, heads: c.headCount,
      headDim: c.headDim, groups: c.groupCount, stateSize: c.stateSize)
    let inputs = channels(layout.xChannels)
    let arrays = RecurrentSSD.Arrays(
      x: inputs, dt: dt, aLog: tensor(aLog), b: channels(layout.bChannels),
      c: channels(layout.cChannels),
      state: [Double](repeating: 0, count: batch * c.recurrentStateCount))
    var y = recurrence.forward(arrays).y
    for i in y.indices { y[i] += skip[i / c.headDim % c.headCount] * inputs[i] }
    return output.reference(
      gatedNorm.reference(y, gate: gate.reference(x, tensor), tensor), tensor)
  }
}
