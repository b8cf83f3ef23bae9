import LanguageModels
import Layers
import TensorFiles

/// The Mamba2 models of transformers (`Mamba2ForCausalLM`) and of fla, which differ in two names.
///
/// Sizes must be given: the two libraries' defaults are those of different models. Options that are
/// absent have their common defaults.
struct Mamba2Dialect: ModelDialect {
  /// Whose names the fields have.
  enum Spelling: Sendable {
    /// `transformers/models/mamba2/configuration_mamba2.py`.
    case transformers
    /// `fla/models/mamba2/configuration_mamba2.py`.
    case fla

    /// The norms' epsilon.
    var epsilonField: String { self == .fla ? "norm_eps" : "layer_norm_epsilon" }
    /// Bounds of the time steps.
    var limitField: String { self == .fla ? "dt_limit" : "time_step_limit" }
  }

  let spelling: Spelling

  init(_ spelling: Spelling) { self.spelling = spelling }

  var name: String { spelling == .fla ? "fla Mamba2" : "transformers Mamba2" }
  var architecture: String { "Mamba2ForCausalLM" }
  var expandedMark: JSONMember? { nil }

  func claims(_ config: [JSONMember]) -> Bool {
    guard ModelFamily.mamba2.isNamed(by: config) else { return false }
    switch spelling {
    case .transformers: return true
    case .fla:
      let transformers = Spelling.transformers
      return config[transformers.epsilonField] == nil && config[transformers.limitField] == nil
        && (config[spelling.epsilonField] != nil || config[spelling.limitField] != nil)
    }
  }

  func decodeBase(_ reader: ConfigReader) throws(InteropError) -> ModelConfiguration {
    try refuseUnsupported(reader)
    let layer = try decodeBlock(reader)
    let layerCount = try reader.requiredInteger("num_hidden_layers", in: ConfigLimit.layers)
    return ModelConfiguration(
      family: .mamba2, hiddenSize: layer.hiddenSize,
      vocabularySize: try reader.requiredInteger("vocab_size", in: ConfigLimit.vocabulary),
      normEpsilon: layer.normEpsilon,
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false),
      layers: Array(repeating: .mamba2(layer), count: layerCount), base: .mamba2(layer))
  }

  /// Options that change the mathematics and that this program does not have.
  private func refuseUnsupported(_ reader: ConfigReader) throws(InteropError) {
    try reader.refuse("attn", because: "hybrid models with attention layers are not supported")
    try reader.refuse("D_has_hdim", unless: .bool(false), because: Mamba2Refusal.skipWidth)
    try reader.refuse("rmsnorm", unless: .bool(true), because: Mamba2Refusal.noGatedNorm)
    try reader.refuse("norm_before_gate", unless: .bool(false), because: Mamba2Refusal.normFirst)
    try reader.refuseActivation("hidden_act")
  }

  private func decodeBlock(_ reader: ConfigReader) throws(InteropError) -> Mamba2Configuration {
    let hiddenSize = try reader.requiredInteger("hidden_size", in: ConfigLimit.width)
    let headDim = try reader.requiredInteger("head_dim", in: ConfigLimit.channels)
    let expand = try reader.positiveNumber("expand", default: 2, atMost: ConfigLimit.expansion)
    let inner = Int(expand * Double(hiddenSize))
    let headCount =
      try reader.optionalInteger("num_heads", in: ConfigLimit.channels) ?? inner / headDim
    guard headCount * headDim == inner else {
      throw reader.error(
        "num_heads",
        "num_heads (\(headCount)) x head_dim (\(headDim)) must be expand x hidden_size (\(inner))")
    }
    guard reader.object["n_groups"] != nil else {
      throw reader.error("n_groups", "must be given; 1 in the published models")
    }
    var layer = Mamba2Configuration(
      hiddenSize: hiddenSize, headCount: headCount, headDim: headDim,
      stateSize: try reader.requiredInteger("state_size", in: ConfigLimit.state),
      groupCount: try reader.requiredInteger("n_groups", in: ConfigLimit.channels),
      normEpsilon: try reader.singlePrecision(spelling.epsilonField, default: 1e-5))
    try layer.checkGroups(reader, field: "n_groups")
    layer.convolutionSize = try reader.integer(
      "conv_kernel", default: 4, in: ConfigLimit.convolution)
    layer.hasProjectionBias = try reader.flag("use_bias", default: false)
    layer.hasConvolutionBias = try reader.flag("use_conv_bias", default: true)
    layer.timeStepLimit = try reader.timeStepLimit(spelling.limitField)
    return layer
  }

  func decodeLayer(
    _ reader: ConfigReader, base: LayerConfiguration
  ) throws(InteropError) -> LayerConfiguration {
    guard case .mamba2(var layer) = base else {
      throw reader.error("state_size", "the base layer is not a Mamba2 block")
    }
    try reader.refuseUnknownKeys(known: ["state_size"])
    layer.stateSize =
      try reader.optionalInteger("state_size", in: ConfigLimit.state) ?? layer.stateSize
    return .mamba2(layer)
  }

  func parameterName(_ checkpointName: String, in configuration: ModelConfiguration) -> String {
    Self.parameterName(checkpointName)
  }

  /// mamba_ssm's name of the embeddings becomes transformers'; all others are the same.
  static func parameterName(_ checkpointName: String) -> String {
    checkpointName == "backbone.embedding.weight"
      ? ModelFamily.mamba2.embeddingsKey : checkpointName
  }

  func fusedParameters(with parameter: String) -> [String]? { nil }
}

/// Why options of Mamba2 that are spelt differently by different libraries are refused.
enum Mamba2Refusal {
  static let skipWidth = "a D for every channel is not supported, only one a head"
  static let noGatedNorm = "models without the gated norm are not supported"
  static let normFirst = "a norm before the gate is not supported, only after it"
}

extension Mamba2Configuration {
  /// Requires that the groups divide the heads.
  func checkGroups(_ reader: ConfigReader, field: String) throws(InteropError) {
    guard headCount % groupCount == 0 else {
      throw reader.error(field, "must divide the \(headCount) heads")
    }
  }
}
