import Kernels
import ReferenceKernels
import TensorStorage

/// Gated linear attention, `o_proj(norm_h(o) silu(g_proj x))`, of normed rows x.
///
/// `o` is the recurrence of q, k, v and log gates (arXiv:2312.06635; agrees with fla's
/// `GatedLinearAttention`). H heads have K key and V value channels each; keys, values and gates may be
/// shared by groups of heads.
public struct GatedLinearAttention: TokenMixer {
  /// Shape and options.
  public let configuration: GLAConfiguration
  /// `q_proj`, `k_proj` and `v_proj`.
  public let query, key, value: Linear
  /// `g_proj`, nil for no output gate.
  public let outputGate: Linear?
  /// The short convolutions of q, k and v, or none.
  public let convolutions: [ShortConvolution]
  /// `gk_proj`.
  public let forgetGate: ForgetGate
  /// Only in layers that were expanded to preserve what they compute.
  public let headMixing: HeadMixing?
  /// The norm of each head.
  public let outputNorm: GatedNorm
  /// `o_proj`.
  public let output: Linear

  private let queryTransform, keyTransform, valueTransform, gateTransform: ChannelTransform

  /// Declares the mixer's tensors, `NAME.q_proj.weight` and so on.
  init(_ c: GLAConfiguration, _ name: String, _ scope: inout ParameterScope) {
    configuration = c
    func named(_ tensor: String) -> String { name + "." + tensor }
    func linear(_ tensor: String, _ outputs: Int) -> Linear {
      scope.linear(named(tensor), outputs: outputs, inputs: c.hiddenSize)
    }
    query = linear("q_proj", c.keyDim)
    key = linear("k_proj", c.projectedKeyDim)
    value = linear("v_proj", c.projectedValueDim)
    outputGate = c.hasOutputGate ? linear("g_proj", c.valueDim) : nil
    convolutions = Self.convolutions(c, named, &scope)
    forgetGate = ForgetGate(named("gk_proj"), channels: c.projectedKeyDim, c, &scope)
    headMixing =
      c.hasHeadMixing
      ? HeadMixing(named("head_mixing"), heads: c.headCount, channels: c.keyDim, &scope) : nil
    outputNorm = GatedNorm(
      named(c.outputNormKey), .normThenGate, heads: c.headCount, width: c.headValueDim,
      epsilon: c.normEpsilon, hasWeight: c.outputNormHasWeight, &scope)
    output = scope.linear(named("o_proj"), outputs: c.hiddenSize, inputs: c.valueDim)

    let taps = convolutions
    func transform(_ headDim: Int, _ groupSize: Int, _ index: Int) -> ChannelTransform {
      ChannelTransform(
        heads: c.headCount, headDim: headDim, groupSize: groupSize,
        convolution: taps.isEmpty ? nil : taps[index],
        function: index < 2 ? c.featureMap?.function : nil)
    }
    queryTransform = transform(c.headKeyDim, 1, 0)
    keyTransform = transform(c.headKeyDim, c.groupSize, 1)
    valueTransform = transform(c.headValueDim, c.groupSize, 2)
    gateTransform = ChannelTransform(
      heads: c.headCount, headDim: c.headKeyDim, groupSize: c.groupSize, convolution: nil,
      function: nil)
  }

  private static func convolutions(
    _ c: GLAConfiguration, _ named: (String) -> String, _ scope: inout ParameterScope
  ) -> [ShortConvolution] {
    guard let taps = c.convolutionSize else { return [] }
    var tailOffset = 0
    return [("q", c.keyDim), ("k", c.projectedKeyDim), ("v", c.projectedValueDim)].map {
      let convolution = ShortConvolution(
        named($0 + "_conv1d"), channels: $1, taps: taps, tailOffset: tailOffset, &scope)
      tailOffset += convolution.tailCount
      return convolution
    }
  }

  /// Numbers in one sequence's recurrent state.
  public var recurrentStateCount: Int { configuration.recurrentStateCount }

  /// Multiplications and additions of one token in the recurrence, matrix products only.
  public var recurrenceFLOPsPerToken: Int {
    recurrence(SegmentDims(batch: 1, length: 1)).flopsPerToken
  }

  private func recurrence(_ dims: SegmentDims) -> GLADims {
    GLADims(
      batch: dims.batch, length: dims.length, heads: configuration.headCount,
      keyDim: configuration.stateKeyDim, valueDim: configuration.headValueDim,
      scale: 1 / Float(configuration.headKeyDim).squareRoot())
  }

  /// Activations kept from forward to backward.
  public struct Saved {
    /// As projected; `gate` without memory when there is no output gate.
    let q, k, v, gate, low: Floats
    /// The recurrence's output, and each head's factor in the norm of it.
    let o, rstd: Floats
    /// The state before this part of a shared segment.
    let start: Floats
  }

  /// Takes memory for the activations.
  public func saved(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Saved {
    func rows(_ width: Int) -> Floats { plan.take(dims.rows * width) }
    return Saved(
      q: rows(query.outputs), k: rows(key.outputs), v: rows(value.outputs),
      gate: rows(outputGate?.outputs ?? 0), low: rows(forgetGate.low.outputs),
      o: rows(configuration.valueDim), rstd: outputNorm.saved(&plan, dims),
      start: startState(&plan, dims))
  }

  // MARK: Forward

  /// q, k, v, the output gate (if it is wanted) and the forget gates' low rank.
  public func project(
    _ x: Matrix, _ saved: Saved, wantsOutput: Bool, _ context: BlockContext
  ) {
    query.forward(x, into: saved.q, context)
    key.forward(x, into: saved.k, context)
    value.forward(x, into: saved.v, context)
    if wantsOutput { outputGate?.forward(x, into: saved.gate, context) }
    forgetGate.low.forward(x, into: saved.low, context)
  }

  /// The recurrence, its norm and gate, and the output projection.
  public func finish(
    accumulatingInto out: Floats?, stateInPlace state: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) {
    let (rows, mark) = (context.dims.rows, context.scratch.used)
    let state = self.state(state, context)
    let start = exchangeTails(state, start: saved.start, &context) {
      $0 == 0 ? saved.q : $0 == 1 ? saved.k : saved.v
    }
    let logits = forgetGate.logits(saved.low, &context)
    let inputs = inputs(
      saved, logits, tails: start.tails, advancesTails: context.part == nil, &context)
    let read = headMixing?.forward(inputs, &context) ?? inputs
    chunkGLAForward(
      read, start: start.recurrent, into: saved.o, final: state.recurrent, context.part,
      &context.scratch, dims: recurrence(context.dims))
    context.scratch.rewind(to: mark)

    guard let out else { return }
    let normed = context.scratch.take(rows * configuration.valueDim)
    outputNorm.forward(saved.o, gate: gate(saved), into: normed, saved.rstd, context)
    output.forward(
      Matrix(normed, rows, configuration.valueDim), accumulatingInto: out, context)
  }

  private func gate(_ saved: Saved) -> Floats? { outputGate.map { _ in saved.gate } }

  /// What the recurrence reads, but for head mixing: transformed q, k, v and the log gates.
  private func inputs(
    _ saved: Saved, _ logits: Floats, tails: Floats, advancesTails: Bool,
    _ context: inout BlockContext
  ) -> GLAInputs {
    func transformed(
      _ transform: ChannelTransform, _ x: Floats, _ context: inout BlockContext
    ) -> Floats {
      transform.forward(x, tails: tails, advancesTail: advancesTails, &context)
    }
    let q = transformed(queryTransform, saved.q, &context)
    let k = transformed(keyTransform, saved.k, &context)
    let v = transformed(valueTransform, saved.v, &context)
    let g = transformed(gateTransform, forgetGate.forward(logits, &context), &context)
    return GLAInputs(q: q, k: k, v: v, g: g)
  }

  // MARK: Backward

  /// Gradients of q, k, v and the gates' logits; that of the output gate in its place.
  public func finishBackward(
    _ dout: Floats, state: Floats, dstateInPlace dstate: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) -> GLAGradients {
    outputBackward(dout, saved, &context)
    let (rows, keys) = (context.dims.rows, configuration.headCount * configuration.stateKeyDim)
    let d = GLAGradients(
      dq: context.scratch.take(rows * keys), dk: context.scratch.take(rows * keys),
      dv: context.scratch.take(rows * configuration.valueDim),
      dg: context.scratch.take(rows * keys))
    let logits = forgetGate.logits(saved.low, &context)
    let start = self.state(context.part == nil ? state : saved.start, context)
    let dstate = self.state(dstate, context)
    let inputs = inputs(saved, logits, tails: start.tails, advancesTails: false, &context)
    let read = headMixing?.forward(inputs, &context) ?? inputs
    chunkGLABackward(
      saved.o, read, start: start.recurrent, dstateInPlace: dstate.recurrent, into: d,
      context.part, &context.scratch, dims: recurrence(context.dims))
    return inputsBackward(
      headMixing?.backward(d, of: inputs, &context) ?? d, saved, logits, tails: start.tails,
      dstate, &context)
  }

  /// From the gradient of the output to those of the recurrence's output and of the output gate, which
  /// take the places of `saved.o` and `saved.gate`.
  private func outputBackward(_ dout: Floats, _ saved: Saved, _ context: inout BlockContext) {
    let (rows, width, mark) = (context.dims.rows, configuration.valueDim, context.scratch.used)
    // The normed rows, then their gradient in the same place.
    let normed = context.scratch.take(rows * width)
    if context.gradients != nil {
      outputNorm.forward(saved.o, gate: gate(saved), into: normed, saved.rstd, context)
    }
    output.backward(dout, x: Matrix(normed, rows, width), into: normed, &context)
    outputNorm.backward(
      normed, xInPlace: saved.o, gateInPlace: gate(saved), saved.rstd, &context)
    context.scratch.rewind(to: mark)
  }

  /// From gradients of what the recurrence read to those of the projections.
  private func inputsBackward(
    _ read: GLAGradients, _ saved: Saved, _ logits: Floats, tails: Floats, _ dstate: MixerState,
    _ context: inout BlockContext
  ) -> GLAGradients {
    let dtails = localTailGradients(dstate, &context)
    func projected(
      _ transform: ChannelTransform, _ dy: Floats, _ x: Floats, _ context: inout BlockContext
    ) -> Floats {
      transform.backward(dy, x: x, tails: tails, dtails: dtails, &context)
    }
    let d = GLAGradients(
      dq: projected(queryTransform, read.dq, saved.q, &context),
      dk: projected(keyTransform, read.dk, saved.k, &context),
      dv: projected(valueTransform, read.dv, saved.v, &context),
      dg: projected(gateTransform, read.dg, logits, &context))
    exchangeTailGradients(dtails, dstate, &context) { $0 == 0 ? d.dq : $0 == 1 ? d.dk : d.dv }
    forgetGate.backward(inPlace: d.dg, logits, &context)
    return d
  }

  /// Gradients of the projections' weights and of their common input.
  public func projectBackward(
    _ d: GLAGradients, x: Matrix, into dx: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) {
    query.backward(d.dq, x: x, into: dx, &context)
    key.backward(d.dk, x: x, into: dx, accumulate: true, &context)
    value.backward(d.dv, x: x, into: dx, accumulate: true, &context)
    outputGate?.backward(saved.gate, x: x, into: dx, accumulate: true, &context)
    forgetGate.projectBackward(d.dg, low: saved.low, x: x, accumulatingInto: dx, &context)
  }

  // MARK: Reference

  /// The mixer in `Double`, from a state of zeros.
  public func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double] {
    let c = configuration
    func transformed(_ transform: ChannelTransform, _ x: [Double]) -> [Double] {
      transform.reference(x, batch: batch, tensor)
    }
    var q = transformed(queryTransform, query.reference(x, tensor))
    var k = transformed(keyTransform, key.reference(x, tensor))
    let v = transformed(valueTransform, value.reference(x, tensor))
    var g = transformed(gateTransform, forgetGate.reference(x, tensor))
    if let headMixing {
      // The recurrence divides by the root of all heads' key channels; the layer, by that of one's.
      let scale = Double(c.headCount).squareRoot()
      q = headMixing.reference(q, tensor).map { scale * $0 }
      k = repeated(k, width: c.keyDim, times: c.headCount)
      g = repeated(g, width: c.keyDim, times: c.headCount)
    }
    let recurrence = RecurrentGLA(
      batch: batch, length: x.count / c.hiddenSize / batch, heads: c.headCount,
      keyDim: c.stateKeyDim, valueDim: c.headValueDim)
    let state = [Double](repeating: 0, count: batch * c.recurrentStateCount)
    let o = recurrence.forward(RecurrentGLA.Arrays(q: q, k: k, v: v, g: g, state: state)).o
    let gate = outputGate?.reference(x, tensor)
    return output.reference(outputNorm.reference(o, gate: gate, tensor), tensor)
  }
}
