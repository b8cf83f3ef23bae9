import Kernels
import TensorStorage

// Letters: R rows (B * T tokens), D hidden, Kd = H K and Vd = H V all heads' key and value channels
// (Kp, Vp before heads are repeated), F MLP width.

/// One GLA block: `x += o_proj(norm_h(o) silu(g_proj y))`, then `x += down(silu(gate y') up y')`.
///
/// `y`, `y'` are RMSNorms of the residual stream; `o` is the gated linear attention of `y`
/// (arXiv:2312.06635; agrees with fla's `GLABlock`). The naive twin is `ReferenceModel`.
public struct GatedLinearAttentionBlock: RecurrentBlock {
  /// Shape and options.
  public let configuration: GLAConfiguration

  let offsets: Offsets
  /// Epsilon of the two block norms.
  let normEpsilon: Float

  /// Where the block's tensors start in the arenas.
  struct Offsets {
    let attentionNorm, query, key, value, low, gate, gateBias, output: Int
    let outputGate, outputNorm, queryConv, keyConv, valueConv, headMixing: Int?
    let mlpNorm, mlpGate, mlpUp, mlpDown: Int
  }

  /// Finds the block's tensors in `layout`.
  ///
  /// - Parameters:
  ///   - configuration: the block's shape and options.
  ///   - prefix: for example `model.layers.0.`.
  ///   - layout: where the parameters lie, the block's own among them.
  /// - Precondition: the layout was made from the same configuration.
  public init(_ configuration: GLAConfiguration, prefix: String, layout: ParameterLayout) {
    self.configuration = configuration
    self.normEpsilon = configuration.normEpsilon
    func optional(_ name: String) -> Int? { layout[prefix + name]?.offset }
    func offset(_ name: String) -> Int {
      guard let slot = layout[prefix + name] else {
        preconditionFailure("the layout has no \(prefix)\(name)")
      }
      return slot.offset
    }
    offsets = Offsets(
      attentionNorm: offset("attn_norm.weight"), query: offset("attn.q_proj.weight"),
      key: offset("attn.k_proj.weight"), value: offset("attn.v_proj.weight"),
      low: offset("attn.gk_proj.0.weight"), gate: offset("attn.gk_proj.1.weight"),
      gateBias: offset("attn.gk_proj.1.bias"), output: offset("attn.o_proj.weight"),
      outputGate: optional("attn.g_proj.weight"),
      outputNorm: optional("attn." + configuration.outputNormKey + ".weight"),
      queryConv: optional("attn.q_conv1d.weight"), keyConv: optional("attn.k_conv1d.weight"),
      valueConv: optional("attn.v_conv1d.weight"),
      headMixing: optional("attn.head_mixing.weight"), mlpNorm: offset("mlp_norm.weight"),
      mlpGate: offset("mlp.gate_proj.weight"), mlpUp: offset("mlp.up_proj.weight"),
      mlpDown: offset("mlp.down_proj.weight"))
  }

  // MARK: Shapes

  var queryTransform: ChannelTransform {
    transform(configuration.headKeyDim, 1, isQueryOrKey: true)
  }
  var keyTransform: ChannelTransform {
    transform(configuration.headKeyDim, configuration.groupSize, isQueryOrKey: true)
  }
  var valueTransform: ChannelTransform {
    transform(configuration.headValueDim, configuration.groupSize, isQueryOrKey: false)
  }
  var gateTransform: ChannelTransform {
    ChannelTransform(
      heads: configuration.headCount, headDim: configuration.headKeyDim,
      groupSize: configuration.groupSize, taps: nil, function: nil)
  }

  private func transform(_ headDim: Int, _ groupSize: Int, isQueryOrKey: Bool) -> ChannelTransform {
    ChannelTransform(
      heads: configuration.headCount, headDim: headDim, groupSize: groupSize,
      taps: configuration.convolutionSize,
      function: isQueryOrKey ? configuration.featureMap?.function : nil)
  }

  func attentionDims(_ dims: SegmentDims) -> GLADims {
    GLADims(
      batch: dims.batch, length: dims.length, heads: configuration.headCount,
      keyDim: configuration.stateKeyDim, valueDim: configuration.headValueDim,
      scale: 1 / Float(configuration.headKeyDim).squareRoot())
  }

  func normDims(_ dims: SegmentDims) -> HeadNormDims {
    HeadNormDims(
      rows: dims.rows, heads: configuration.headCount, width: configuration.headValueDim,
      epsilon: configuration.normEpsilon)
  }

  var minimumGate: Float { configuration.gateClampMinimum ?? -.infinity }

  /// Floats of the state of `batch` sequences, convolution tails included.
  public func stateCount(batch: Int) -> Int {
    batch * (configuration.recurrentStateCount + configuration.convolutionStateCount)
  }

  /// Floats of one sequence's recurrent state and its convolutions' tails.
  public var stateParts: [Int] {
    [configuration.recurrentStateCount]
      + [queryTransform, keyTransform, valueTransform].map { $0.tailCount(batch: 1) }
  }

  /// Floats that forward saves for backward.
  public func savedCount(_ dims: SegmentDims) -> Int {
    var plan = MemoryPlan.measuring()
    _ = Saved(&plan, configuration, dims)
    return plan.peak
  }

  /// Floats of scratch for forward or backward, whichever needs more.
  public func scratchCount(_ dims: SegmentDims) -> Int {
    let c = configuration
    let attention = attentionDims(dims)
    let transforms = [queryTransform, keyTransform, valueTransform, gateTransform]
      .reduce(0) { $0 + 2 * $1.scratchCount(dims) }
    let partials = RowTiles(dims.rows).count * max(c.hiddenSize, 2 * c.headValueDim, c.keyDim)
    let rows = dims.rows
    let mlp = rows * max(2 * c.hiddenSize, c.intermediateSize) + partials
    let around = transforms + mixingScratchCount(dims) + partsScratchCount(dims)
    let gates = rows * (c.projectedKeyDim + c.keyDim)
    let forward =
      max(rows * c.hiddenSize, gates + around + attention.forwardScratchCount, rows * c.valueDim)
    // What the recurrence needs is free again when the projections' gradients are computed.
    let backward =
      rows * (3 * c.keyDim + c.valueDim) + gates + around + partials
      + max(attention.backwardScratchCount, rows * (2 * c.hiddenSize + c.gateRank))
    return max(mlp, forward, backward) + 64 * 16
  }

  /// The block's linear maps, in the order of the forward pass.
  public var linearShapes: [LinearShape] {
    let c = configuration
    func from(_ inputs: Int, _ outputs: Int) -> LinearShape {
      LinearShape(outputs: outputs, inputs: inputs)
    }
    return [
      from(c.hiddenSize, c.keyDim), from(c.hiddenSize, c.projectedKeyDim),
      from(c.hiddenSize, c.projectedValueDim),
    ] + (c.hasOutputGate ? [from(c.hiddenSize, c.valueDim)] : []) + [
      from(c.hiddenSize, c.gateRank), from(c.gateRank, c.projectedKeyDim),
      from(c.valueDim, c.hiddenSize), from(c.hiddenSize, c.intermediateSize),
      from(c.hiddenSize, c.intermediateSize), from(c.intermediateSize, c.hiddenSize),
    ]
  }

  /// Multiplications and additions of one token in the recurrence, matrix products only.
  public var recurrenceFLOPsPerToken: Int {
    let c = configuration
    return 2
      * (2 * c.recurrentStateCount + GLADims.chunk * (c.headCount * c.stateKeyDim + c.valueDim))
  }

  /// Activations kept from forward to backward.
  struct Saved {
    let attentionRstd, q, k, v, outputGate, low, o, outputRstd, middle, mlpRstd, gate, up: Floats
    /// The state before this part of a shared segment.
    let start: Floats

    init(_ plan: inout MemoryPlan, _ c: GLAConfiguration, _ dims: SegmentDims) {
      let rows = dims.rows
      attentionRstd = plan.take(rows)
      q = plan.take(rows * c.keyDim)
      k = plan.take(rows * c.projectedKeyDim)
      v = plan.take(rows * c.projectedValueDim)
      outputGate = plan.take(c.hasOutputGate ? rows * c.valueDim : 0)
      low = plan.take(rows * c.gateRank)
      o = plan.take(rows * c.valueDim)
      outputRstd = plan.take(rows * c.headCount)
      middle = plan.take(rows * c.hiddenSize)
      mlpRstd = plan.take(rows)
      gate = plan.take(rows * c.intermediateSize)
      up = plan.take(rows * c.intermediateSize)
      let stateCount = c.recurrentStateCount + c.convolutionStateCount
      start = plan.take(dims.parts > 1 ? dims.batch * stateCount : 0)
    }
  }

  /// Parts of the block's state.
  struct State {
    let recurrent: Floats
    let tails: Tails

    init(_ base: Floats, _ block: GatedLinearAttentionBlock, batch: Int) {
      recurrent = base
      tails = Tails(
        base + batch * block.configuration.recurrentStateCount, block, batch: batch)
    }
  }

  /// Tails of the short convolutions; no memory without them.
  struct Tails {
    let query, key, value: Floats

    init(_ base: Floats, _ block: GatedLinearAttentionBlock, batch: Int) {
      query = base
      key = query + block.queryTransform.tailCount(batch: batch)
      value = key + block.keyTransform.tailCount(batch: batch)
    }
  }
}

extension GLAConfiguration.FeatureMap {
  /// The kernel's name of the function.
  var function: ElementwiseFunction {
    switch self {
    case .relu: .relu
    case .sigmoid: .sigmoid
    case .swish, .silu: .silu
    case .logsigmoid: .logSigmoid
    case .sqrelu: .squaredReLU
    case .gelu: .tanhGELU
    }
  }
}
