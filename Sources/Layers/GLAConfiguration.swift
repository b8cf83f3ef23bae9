/// One gated-linear-attention block's shape and options: the token mixer and its MLP.
///
/// Every layer of a model has its own value, so an expanded layer differs from its neighbours without
/// a flag. Field names in `config.json` (fla's `GLAConfig`) are given beside each.
public struct GLAConfiguration: Sendable, Equatable, Encodable {
  /// Elementwise function on q and k before the recurrence (`feature_map`), by fla's names.
  public enum FeatureMap: String, Sendable, CaseIterable, Encodable {
    case relu, sigmoid, logsigmoid, swish, silu, sqrelu
    /// With the approximation by tanh.
    case gelu
  }

  /// `hidden_size`.
  public var hiddenSize: Int
  /// `num_heads`.
  public var headCount: Int
  /// `num_kv_heads`; equal to `headCount` unless keys and values are shared by groups of heads.
  public var keyValueHeadCount: Int
  /// All heads' key channels together, `hidden_size * expand_k`.
  public var keyDim: Int
  /// All heads' value channels together, `hidden_size * expand_v`.
  public var valueDim: Int
  /// MLP width, `intermediate_size`.
  public var intermediateSize: Int
  /// `feature_map`; nil is the identity.
  public var featureMap: FeatureMap?
  /// `conv_size` when `use_short_conv`, else nil.
  public var convolutionSize: Int?
  /// `use_output_gate`.
  public var hasOutputGate: Bool
  /// `clamp_min`: lower bound of the log gates, nil for none.
  public var gateClampMinimum: Float?
  /// `elementwise_affine`: whether the per-head output norm has a weight.
  public var outputNormHasWeight: Bool
  /// `fuse_norm`: only decides the output norm's checkpoint key.
  public var fusesNorm: Bool
  /// `head_mixing` of an expanded layer: every head reads the keys of all heads, each with a learned
  /// coefficient; see `HeadMixing`.
  public var hasHeadMixing = false
  /// `norm_eps`.
  public var normEpsilon: Float
  /// Rank of the gate projection; a constant of the architecture.
  public var gateRank = 16
  /// Divisor of the log-sigmoid gates; a constant of the architecture.
  public var gateNormalizer: Float = 16

  /// A block without options; the rest is set afterwards.
  public init(
    hiddenSize: Int, headCount: Int, keyDim: Int, valueDim: Int, intermediateSize: Int,
    normEpsilon: Float = 1e-6
  ) {
    self.hiddenSize = hiddenSize
    self.headCount = headCount
    self.keyValueHeadCount = headCount
    self.keyDim = keyDim
    self.valueDim = valueDim
    self.intermediateSize = intermediateSize
    self.featureMap = nil
    self.convolutionSize = nil
    self.hasOutputGate = true
    self.gateClampMinimum = nil
    self.outputNormHasWeight = true
    self.fusesNorm = true
    self.normEpsilon = normEpsilon
  }

  /// Key channels of one head, `K`.
  public var headKeyDim: Int { keyDim / headCount }
  /// Value channels of one head, `V`.
  public var headValueDim: Int { valueDim / headCount }
  /// Heads that share one key and value head.
  public var groupSize: Int { headCount / keyValueHeadCount }
  /// Rows of `k_proj` and of the gate: `keyDim / groupSize`.
  public var projectedKeyDim: Int { keyDim / groupSize }
  /// Rows of `v_proj`: `valueDim / groupSize`.
  public var projectedValueDim: Int { valueDim / groupSize }
  /// Key channels of the state that one head reads: its own, or with head mixing those of all heads.
  public var stateKeyDim: Int { hasHeadMixing ? keyDim : headKeyDim }
  /// The recurrent state, `[H, K, V]`, or `[H, H K, V]` with head mixing.
  public var stateMatrices: StateMatrices {
    StateMatrices(heads: headCount, rows: stateKeyDim, columns: headValueDim)
  }
  /// Numbers in one sequence's convolution tails, `(conv_size - 1)` inputs a channel.
  public var convolutionStateCount: Int {
    convolutionSize.map { ($0 - 1) * (keyDim + projectedKeyDim + projectedValueDim) } ?? 0
  }
}
