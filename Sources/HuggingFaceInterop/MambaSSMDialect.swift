import Fields
import JSON
import LanguageModels
import Layers

/// mamba_ssm's own Mamba2 checkpoints: `mamba_ssm/models/config_mamba.py`, `modules/mamba2.py`.
///
/// `ssm_cfg` holds the arguments of the mixer's constructor, whose defaults stand in for absent ones.
/// There is no `model_type`, and mamba_ssm takes no field that it does not know. The tied head is stored.
struct MambaSSMDialect: ModelDialect {
  let name = "mamba_ssm Mamba2"
  let architecture: String? = nil
  let expandedMark: JSONMember? = nil

  /// mamba_ssm's name of the embeddings; all other tensors have transformers' names.
  static let embeddingsKey = "backbone.embedding.weight"
  /// The epsilon of all norms, which its files do not say.
  static let normEpsilon: Float = 1e-5

  /// Fields that only such files have; `vocab_size` and `residual_in_fp32` are everybody's.
  static let fields = [
    "d_model", "n_layer", "d_intermediate", "ssm_cfg", "attn_layer_idx", "attn_cfg", "rms_norm",
    "fused_add_norm", "pad_vocab_size_multiple", "tie_embeddings",
  ]

  /// Arguments of the mixer that do not change what a trained model computes.
  private static let harmless = [
    "chunk_size", "A_init_range", "conv_init", "dt_min", "dt_max", "dt_init_floor",
    "use_mem_eff_path",
  ]
  private static let known =
    [
      "layer", "d_state", "d_conv", "expand", "headdim", "d_ssm", "ngroups", "D_has_hdim",
      "rmsnorm", "norm_before_gate", "dt_limit", "bias", "conv_bias", "activation",
    ] + harmless

  var knownFields: [String] { Self.fields + ["vocab_size", "residual_in_fp32"] }

  func claims(_ config: [JSONMember]) -> Bool {
    config["model_type"] == nil && (config["ssm_cfg"] != nil || config["d_model"] != nil)
  }

  func decodeBase(_ reader: ConfigReader) throws(FieldError) -> ModelConfiguration {
    try refuseUnsupported(reader)
    let mixer = try mixer(reader)
    let layer = try decodeBlock(
      mixer, hiddenSize: try reader.integer("d_model", ConfigLimit.width))
    let layerCount = try reader.integer("n_layer", ConfigLimit.layers)
    return ModelConfiguration(
      family: .mamba2, hiddenSize: layer.hiddenSize,
      vocabularySize: try paddedVocabulary(reader), normEpsilon: layer.normEpsilon,
      tiesEmbeddings: try reader.flag("tie_embeddings", default: true),
      layers: Array(repeating: .mamba2(layer), count: layerCount), base: .mamba2(layer))
  }

  /// Options of the model that change the mathematics and that this program does not have.
  private func refuseUnsupported(_ reader: ConfigReader) throws(FieldError) {
    try reader.refuse(
      "attn_layer_idx", unless: [],
      because: "hybrid models with attention layers are not supported")
    try reader.refuse(
      "d_intermediate", unless: 0, because: "models with MLP blocks are not supported")
    try reader.refuse(
      "rms_norm", unless: true, because: "models with LayerNorm are not supported")
  }

  /// The mixer's arguments, known ones only.
  private func mixer(_ reader: ConfigReader) throws(FieldError) -> ConfigReader {
    guard let mixer = try reader.optionalMapping("ssm_cfg") else {
      throw reader.refusal("ssm_cfg", "expected the mixer's arguments, with layer: \"Mamba2\"")
    }
    _ = try mixer.word("layer", of: ["Mamba2"])
    try mixer.refuse(except: Self.known)
    try mixer.refuse("D_has_hdim", unless: false, because: Mamba2Refusal.skipWidth)
    try mixer.refuse("rmsnorm", unless: true, because: Mamba2Refusal.noGatedNorm)
    try mixer.refuse("norm_before_gate", unless: false, because: Mamba2Refusal.normFirst)
    try mixer.refuseActivation("activation")
    return mixer
  }

  private func decodeBlock(
    _ mixer: ConfigReader, hiddenSize: Int
  ) throws(FieldError) -> Mamba2Configuration {
    let expand = try mixer.number("expand", default: 2, ConfigLimit.expansion)
    let inner = Int(expand * Double(hiddenSize))
    try mixer.refuse(
      "d_ssm", unless: FieldValue.integer(inner),
      because: "mixers with an MLP beside the recurrence are not supported")
    let headDim = try mixer.integer("headdim", default: 64, ConfigLimit.channels)
    guard inner >= headDim, inner % headDim == 0 else {
      throw mixer.refusal("headdim", "must divide the \(inner) inner channels")
    }
    var layer = Mamba2Configuration(
      hiddenSize: hiddenSize, headCount: inner / headDim, headDim: headDim,
      stateSize: try mixer.integer("d_state", default: 128, ConfigLimit.state),
      groupCount: try mixer.integer("ngroups", default: 1, ConfigLimit.channels),
      normEpsilon: Self.normEpsilon)
    try layer.checkGroups(mixer, field: "ngroups")
    layer.convolutionSize = try mixer.integer("d_conv", default: 4, ConfigLimit.convolution)
    layer.hasProjectionBias = try mixer.flag("bias", default: false)
    layer.hasConvolutionBias = try mixer.flag("conv_bias", default: true)
    layer.timeStepLimit = try mixer.timeStepLimit("dt_limit")
    return layer
  }

  /// Rows of the embeddings: `vocab_size` rounded up to `pad_vocab_size_multiple`.
  private func paddedVocabulary(_ reader: ConfigReader) throws(FieldError) -> Int {
    let words = try reader.integer("vocab_size", ConfigLimit.vocabulary)
    let multiple = try reader.integer(
      "pad_vocab_size_multiple", default: 8, ConfigLimit.width)
    return (words + multiple - 1) / multiple * multiple
  }

  func decodeLayer(
    _ reader: ConfigReader, base: LayerConfiguration
  ) throws(FieldError) -> LayerConfiguration {
    try Mamba2Dialect().decodeLayer(reader, base: base)
  }

  func parameterName(_ checkpointName: String, in configuration: ModelConfiguration) -> String {
    checkpointName == Self.embeddingsKey ? ModelFamily.mamba2.embeddingsKey : checkpointName
  }

  func fusedParameters(with parameter: String) -> [String]? { nil }
}
