/// One Mamba2 block's shape and options.
///
/// Every layer of a model has its own value, so an expanded layer differs from its neighbours without
/// a flag. Field names in `config.json` (transformers' `Mamba2Config`) are given beside each.
public struct Mamba2Configuration: Sendable, Equatable, Encodable {
  /// The channels over which the gated norm takes its mean square.
  public enum GatedNormSpan: String, Sendable, Equatable, Encodable {
    /// Those of one group of heads: mamba_ssm, and transformers 5.23.
    case group
    /// All of them: older versions of transformers. The same for models of one group.
    case allChannels
  }

  /// `hidden_size`.
  public var hiddenSize: Int
  /// `num_heads`, `H`.
  public var headCount: Int
  /// `head_dim`, `P`.
  public var headDim: Int
  /// `n_groups`, `G`: groups of heads that share `B` and `C`.
  public var groupCount: Int
  /// `state_size`, `N`.
  public var stateSize: Int
  /// `conv_kernel`: taps of the short convolution, at least 1.
  public var convolutionSize: Int
  /// `use_bias`: whether `in_proj` and `out_proj` have biases.
  public var hasProjectionBias: Bool
  /// `use_conv_bias`.
  public var hasConvolutionBias: Bool
  /// `time_step_limit`: bounds of `softplus(dt + dt_bias)`.
  public var timeStepLimit: ClosedRange<Float>
  /// The gated norm's span; not a field of `config.json`.
  public var gatedNormSpan: GatedNormSpan
  /// `layer_norm_epsilon`, of the pre-norm and of the gated norm.
  public var normEpsilon: Float

  /// Describes a block with the options of the published models.
  public init(
    hiddenSize: Int, headCount: Int, headDim: Int, stateSize: Int, groupCount: Int = 1,
    normEpsilon: Float = 1e-5
  ) {
    self.hiddenSize = hiddenSize
    self.headCount = headCount
    self.headDim = headDim
    self.groupCount = groupCount
    self.stateSize = stateSize
    self.convolutionSize = 4
    self.hasProjectionBias = false
    self.hasConvolutionBias = true
    self.timeStepLimit = 0...Float.infinity
    self.gatedNormSpan = .group
    self.normEpsilon = normEpsilon
  }

  /// All heads' channels, `H P`, which is `expand * hidden_size`.
  public var innerSize: Int { headCount * headDim }
  /// Groups of channels that the gated norm norms apart.
  public var normGroupCount: Int { gatedNormSpan == .group ? groupCount : 1 }
  /// What the rows of `in_proj` and the channels of the convolution are.
  public var projection: Mamba2ProjectionLayout { Mamba2ProjectionLayout(self) }
  /// The recurrent state, `[H, N, P]`.
  public var stateMatrices: StateMatrices {
    StateMatrices(heads: headCount, rows: stateSize, columns: headDim)
  }
  /// Numbers in one sequence's convolution tail.
  public var convolutionStateCount: Int { (convolutionSize - 1) * projection.channelCount }
}

/// What the rows of `in_proj` and the channels of the convolution are: `[z | x | B | C | dt]` and
/// `[x | B | C]`.
public struct Mamba2ProjectionLayout: Sendable, Equatable {
  /// Rows of the output gate, `H P`.
  public let z: Range<Int>
  /// Rows of the recurrence's input, `H P`.
  public let x: Range<Int>
  /// Rows of `B`, `G N`.
  public let b: Range<Int>
  /// Rows of `C`, `G N`.
  public let c: Range<Int>
  /// Rows of the time steps, `H`.
  public let dt: Range<Int>

  /// Lays out the projection of that block.
  public init(_ configuration: Mamba2Configuration) {
    func following(_ range: Range<Int>, _ count: Int) -> Range<Int> {
      range.upperBound..<(range.upperBound + count)
    }
    let states = configuration.groupCount * configuration.stateSize
    z = 0..<configuration.innerSize
    x = following(z, configuration.innerSize)
    b = following(x, states)
    c = following(b, states)
    dt = following(c, configuration.headCount)
  }

  /// Rows altogether.
  public var rowCount: Int { dt.upperBound }
  /// Rows that the convolution reads: x, B and C.
  public var convolved: Range<Int> { x.lowerBound..<c.upperBound }
  /// Channels of the convolution.
  public var channelCount: Int { convolved.count }
  /// Channels of the convolution that hold x.
  public var xChannels: Range<Int> { channels(x) }
  /// Channels of the convolution that hold `B`.
  public var bChannels: Range<Int> { channels(b) }
  /// Channels of the convolution that hold `C`.
  public var cChannels: Range<Int> { channels(c) }

  private func channels(_ rows: Range<Int>) -> Range<Int> {
    (rows.lowerBound - convolved.lowerBound)..<(rows.upperBound - convolved.lowerBound)
  }
}
