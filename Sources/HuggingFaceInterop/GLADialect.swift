import Fields
import JSON
import LanguageModels
import Layers

/// fla's `GLAForCausalLM`: `fla/models/gla/configuration_gla.py`, `fla/layers/gla.py`.
///
/// Absent fields have that class's defaults, which are those of the published 1.3B model.
struct GLADialect: ModelDialect {
  let name = "fla GLA"
  let architecture: String? = "GLAForCausalLM"

  /// A kernel that fla's layers do not have and refuse.
  ///
  /// Heads, and the output norm where it has no weight, change no shape.
  let expandedMark: JSONMember? = JSONMember("attn_mode", .string("statex"))

  func claims(_ config: [JSONMember]) -> Bool {
    ModelFamily.gla.isNamed(by: config)
  }

  func decodeBase(_ reader: ConfigReader) throws(FieldError) -> ModelConfiguration {
    try refuseUnsupported(reader)
    let layer = try decodeBlock(reader)
    let layerCount = try reader.integer("num_hidden_layers", default: 24, ConfigLimit.layers)
    return ModelConfiguration(
      family: .gla, hiddenSize: layer.hiddenSize,
      vocabularySize: try reader.integer("vocab_size", default: 32_000, ConfigLimit.vocabulary),
      normEpsilon: layer.normEpsilon,
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false),
      layers: Array(repeating: .gla(layer), count: layerCount), base: .gla(layer))
  }

  /// Options that change the mathematics and that this program does not have.
  private func refuseUnsupported(_ reader: ConfigReader) throws(FieldError) {
    try reader.refuse("attn", because: "hybrid models with attention layers are not supported")
    try reader.refuse("attnres_block_size", because: "attention residuals are not supported")
    try reader.refuse("use_gv", unless: false, because: "value gates are not supported")
    try reader.refuse(
      "use_gk", unless: true, because: "models without key gates are not supported")
    try reader.refuse(
      "conv_bias", unless: false, because: "convolution biases are not supported")
    if try reader.flag("use_short_conv", default: false) {
      try reader.refuse(
        "share_conv_kernel", unless: false,
        because: "one convolution shared by q, k and v is not supported")
    }
    // fla's MLP knows SiLU by this name only.
    try reader.refuseActivation("hidden_act", unless: ["swish"])
  }

  private func decodeBlock(_ reader: ConfigReader) throws(FieldError) -> GLAConfiguration {
    let hiddenSize = try reader.integer("hidden_size", default: 2048, ConfigLimit.width)
    let normEpsilon = try reader.singlePrecision("norm_eps", default: 1e-6)
    var layer = GLAConfiguration(
      hiddenSize: hiddenSize,
      headCount: try reader.integer("num_heads", default: 4, ConfigLimit.channels),
      keyDim: try channels(reader, "expand_k", default: 0.5, hiddenSize: hiddenSize),
      valueDim: try channels(reader, "expand_v", default: 1, hiddenSize: hiddenSize),
      intermediateSize: try intermediateSize(reader, hiddenSize: hiddenSize),
      normEpsilon: normEpsilon)
    layer.keyValueHeadCount =
      try reader.optionalInteger("num_kv_heads", ConfigLimit.channels) ?? layer.headCount
    layer.featureMap = try featureMap(reader)
    if try reader.flag("use_short_conv", default: false) {
      layer.convolutionSize = try reader.integer(
        "conv_size", default: 4, ConfigLimit.convolution)
    }
    layer.hasOutputGate = try reader.flag("use_output_gate", default: true)
    layer.outputNormHasWeight = try reader.flag("elementwise_affine", default: true)
    layer.fusesNorm = try reader.flag("fuse_norm", default: true)
    if let minimum = try reader.optionalNumber("clamp_min") {
      guard minimum <= 0 else {
        throw reader.refusal("clamp_min", "log gates are never above 0")
      }
      layer.gateClampMinimum = Float(minimum)
    }
    try checkHeads(of: layer, reader)
    return layer
  }

  /// `hidden_size * ratio`, which must be a whole number but for rounding (relative error 1e-9), as
  /// fla 0.6 requires.
  private func channels(
    _ reader: ConfigReader, _ field: String, default fallback: Double, hiddenSize: Int
  ) throws(FieldError) -> Int {
    let ratio = try reader.number(field, default: fallback, ConfigLimit.expansion)
    let product = Double(hiddenSize) * ratio
    let channels = Int(product.rounded(.toNearestOrEven))
    guard abs(product - Double(channels)) <= 1e-9 * product else {
      throw reader.invalid(
        field, "gives \(product) channels of hidden_size \(hiddenSize); must be a whole number")
    }
    guard ConfigLimit.channels.contains(channels) else {
      throw reader.invalid(
        field, "gives \(channels) channels, must be \(ConfigLimit.channels)")
    }
    return channels
  }

  /// `intermediate_size`, or when null two thirds of `hidden_ratio * hidden_size`, rounded up to a
  /// multiple of 256.
  private func intermediateSize(
    _ reader: ConfigReader, hiddenSize: Int
  ) throws(FieldError) -> Int {
    if let size = try reader.optionalInteger("intermediate_size", ConfigLimit.channels) {
      return size
    }
    let ratio = try reader.optionalNumber("hidden_ratio", ConfigLimit.expansion) ?? 4
    let size = Int(Double(hiddenSize) * ratio * 2 / 3)
    return max((size + 255) / 256 * 256, 256)
  }

  private func featureMap(
    _ reader: ConfigReader
  ) throws(FieldError) -> GLAConfiguration.FeatureMap? {
    guard reader.present("feature_map") != nil else { return nil }
    return try reader.choice("feature_map")
  }

  private func checkHeads(
    of layer: GLAConfiguration, _ reader: ConfigReader
  ) throws(FieldError) {
    for (channels, kind) in [(layer.keyDim, "key"), (layer.valueDim, "value")]
    where channels % layer.headCount != 0 {
      throw reader.refusal(
        "num_heads", "\(layer.headCount) heads do not divide the \(channels) \(kind) channels")
    }
    guard layer.headCount % layer.keyValueHeadCount == 0 else {
      throw reader.refusal("num_kv_heads", "must divide the \(layer.headCount) heads")
    }
  }

  func decodeLayer(
    _ reader: ConfigReader, base: LayerConfiguration
  ) throws(FieldError) -> LayerConfiguration {
    guard let block = base.of(GLAConfiguration.self) else {
      throw reader.refusal("num_heads", "the base layer is not a GLA block")
    }
    try reader.refuse(except: ["num_heads", "num_kv_heads", "head_mixing"])
    var layer = block
    layer.headCount =
      try reader.optionalInteger("num_heads", ConfigLimit.channels) ?? block.headCount
    layer.keyValueHeadCount = 1
    try checkHeads(of: layer, reader)
    layer = block.dividedIntoHeads(layer.headCount)
    if let shared = try reader.optionalInteger("num_kv_heads", ConfigLimit.channels) {
      layer.keyValueHeadCount = shared
    }
    try checkHeads(of: layer, reader)
    layer.hasHeadMixing = try reader.flag("head_mixing", default: false)
    return .gla(layer)
  }
}
