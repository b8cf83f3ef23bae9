import Fields
import JSON
import LanguageModels
import Layers

/// The Mamba2 models of transformers (`transformers/models/mamba2/configuration_mamba2.py`) and of fla
/// (`fla/models/mamba2/configuration_mamba2.py`), which have two names for two fields.
///
/// fla takes the place of transformers' class when it is imported, and would read its own names'
/// defaults from a file that has the others: an export has both. A file with one of the two means what it
/// says; one in which they disagree would be two models, and is refused.
///
/// Sizes must be given: the two libraries' defaults are those of different models. Options that are
/// absent have their common defaults.
struct Mamba2Dialect: ModelDialect {
  /// A field under its two names.
  struct SharedField: Sendable {
    let transformers, fla: String

    /// The norms' epsilon.
    static let epsilon = SharedField(transformers: "layer_norm_epsilon", fla: "norm_eps")
    /// Bounds of the time steps.
    static let timeStepLimit = SharedField(transformers: "time_step_limit", fla: "dt_limit")
    static let all = [epsilon, timeStepLimit]
  }

  let name = "Mamba2 of transformers and fla"
  let architecture: String? = "Mamba2ForCausalLM"
  let expandedMark: JSONMember? = nil

  func claims(_ config: [JSONMember]) -> Bool { ModelFamily.mamba2.isNamed(by: config) }

  /// Whether only transformers can have written the file: of the two names it has transformers' alone.
  private static func isOfTransformers(_ config: [JSONMember]) -> Bool {
    SharedField.all.contains { config[$0.transformers] != nil }
      && SharedField.all.allSatisfy { config[$0.fla] == nil }
  }

  /// Whether the file has the option of a norm before the gate, set, and it means nothing there:
  /// transformers has no such option, whatever its first published model says.
  static func ignoresNormFirst(_ config: [JSONMember]) -> Bool {
    config["norm_before_gate"] == .bool(true) && isOfTransformers(config)
  }

  /// Reads a field under whichever of its names stands in the file; the default when neither does.
  private func either<Value: Equatable>(
    _ field: SharedField, _ reader: ConfigReader, read: (String) throws(FieldError) -> Value
  ) throws(FieldError) -> Value {
    let value = try read(field.transformers)
    guard reader.value(field.fla) != nil else { return value }
    let other = try read(field.fla)
    if let original = reader.value(field.transformers), other != value {
      throw reader.refusal(
        field.fla,
        "'\(field.transformers)' is \(original.summary), and these are two names of one field: fla"
          + " reads this one, transformers the other; make them equal or remove one")
    }
    return other
  }

  func decodeBase(_ reader: ConfigReader) throws(FieldError) -> ModelConfiguration {
    try refuseUnsupported(reader)
    let layer = try decodeBlock(reader)
    let layerCount = try reader.integer("num_hidden_layers", ConfigLimit.layers)
    return ModelConfiguration(
      family: .mamba2, hiddenSize: layer.hiddenSize,
      vocabularySize: try reader.integer("vocab_size", ConfigLimit.vocabulary),
      normEpsilon: layer.normEpsilon,
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false),
      layers: Array(repeating: .mamba2(layer), count: layerCount), base: .mamba2(layer))
  }

  /// Options that change the mathematics and that this program does not have.
  private func refuseUnsupported(_ reader: ConfigReader) throws(FieldError) {
    try reader.refuse("attn", because: "hybrid models with attention layers are not supported")
    try reader.refuse("D_has_hdim", unless: false, because: Mamba2Refusal.skipWidth)
    try reader.refuse("rmsnorm", unless: true, because: Mamba2Refusal.noGatedNorm)
    if !Self.ignoresNormFirst(reader.members) {
      try reader.refuse("norm_before_gate", unless: false, because: Mamba2Refusal.normFirst)
    }
    try reader.refuseActivation("hidden_act")
  }

  private func decodeBlock(_ reader: ConfigReader) throws(FieldError) -> Mamba2Configuration {
    let hiddenSize = try reader.integer("hidden_size", ConfigLimit.width)
    let headDim = try reader.integer("head_dim", ConfigLimit.channels)
    let expand = try reader.number("expand", default: 2, ConfigLimit.expansion)
    let inner = Int(expand * Double(hiddenSize))
    let headCount =
      try reader.optionalInteger("num_heads", ConfigLimit.channels) ?? inner / headDim
    guard headCount * headDim == inner else {
      throw reader.refusal(
        "num_heads",
        "num_heads (\(headCount)) x head_dim (\(headDim)) must be expand x hidden_size (\(inner))")
    }
    var layer = Mamba2Configuration(
      hiddenSize: hiddenSize, headCount: headCount, headDim: headDim,
      stateSize: try reader.integer("state_size", ConfigLimit.state),
      groupCount: try reader.integer("n_groups", ConfigLimit.channels),
      normEpsilon: try either(.epsilon, reader) { name throws(FieldError) in
        try reader.singlePrecision(name, default: 1e-5)
      })
    try layer.checkGroups(reader, field: "n_groups")
    layer.convolutionSize = try reader.integer(
      "conv_kernel", default: 4, ConfigLimit.convolution)
    layer.hasProjectionBias = try reader.flag("use_bias", default: false)
    layer.hasConvolutionBias = try reader.flag("use_conv_bias", default: true)
    layer.timeStepLimit = try either(.timeStepLimit, reader) { name throws(FieldError) in
      try reader.timeStepLimit(name)
    }
    return layer
  }

  func decodeLayer(
    _ reader: ConfigReader, base: LayerConfiguration
  ) throws(FieldError) -> LayerConfiguration {
    guard var layer = base.of(Mamba2Configuration.self) else {
      throw reader.refusal("state_size", "the base layer is not a Mamba2 block")
    }
    try reader.refuse(except: ["state_size"])
    layer.stateSize =
      try reader.optionalInteger("state_size", ConfigLimit.state) ?? layer.stateSize
    return .mamba2(layer)
  }

  func parameterName(_ checkpointName: String, in configuration: ModelConfiguration) -> String {
    MambaSSMDialect().parameterName(checkpointName, in: configuration)
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
  func checkGroups(_ reader: ConfigReader, field: String) throws(FieldError) {
    guard headCount % groupCount == 0 else {
      throw reader.refusal(field, "must divide the \(headCount) heads")
    }
  }
}
