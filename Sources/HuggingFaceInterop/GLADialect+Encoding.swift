import JSON
import LanguageModels
import Layers

extension GLADialect {
  func keptFields(_ config: [JSONMember]) -> [JSONMember] {
    var kept = config
    if kept["hidden_act"] != nil { kept["hidden_act"] = .string("swish") }
    return kept
  }

  func encodeBase(_ configuration: ModelConfiguration) -> [JSONMember] {
    guard let layer = configuration.base.of(GLAConfiguration.self) else { return [] }
    let hiddenSize = configuration.hiddenSize
    let sharesHeads = layer.keyValueHeadCount != layer.headCount
    return [
      JSONMember("model_type", .string(ModelFamily.gla.name)),
      JSONMember("hidden_size", .integer(hiddenSize)),
      JSONMember("expand_k", JSONValue(Self.ratio(of: layer.keyDim, to: hiddenSize))),
      JSONMember("expand_v", JSONValue(Self.ratio(of: layer.valueDim, to: hiddenSize))),
      JSONMember("intermediate_size", .integer(layer.intermediateSize)),
      JSONMember("num_hidden_layers", .integer(configuration.layers.count)),
      JSONMember("num_heads", .integer(layer.headCount)),
      JSONMember("num_kv_heads", sharesHeads ? .integer(layer.keyValueHeadCount) : .null),
      JSONMember("feature_map", layer.featureMap.map { .string($0.rawValue) } ?? .null),
      JSONMember("use_short_conv", .bool(layer.convolutionSize != nil)),
      JSONMember("conv_size", .integer(layer.convolutionSize ?? 4)),
      JSONMember("use_output_gate", .bool(layer.hasOutputGate)),
      JSONMember("clamp_min", layer.gateClampMinimum.map { JSONValue($0) } ?? .null),
      JSONMember("hidden_act", .string("swish")),
      JSONMember("elementwise_affine", .bool(layer.outputNormHasWeight)),
      JSONMember("norm_eps", JSONValue(layer.normEpsilon)),
      JSONMember("use_gk", .bool(true)),
      JSONMember("use_gv", .bool(false)),
      JSONMember("attn", .null),
      JSONMember("fuse_norm", .bool(layer.fusesNorm)),
      JSONMember("tie_word_embeddings", .bool(configuration.tiesEmbeddings)),
      JSONMember("vocab_size", .integer(configuration.vocabularySize)),
    ]
  }

  /// A ratio with `int(width * ratio) == channels`, which the plain quotient can miss by rounding: fla
  /// before 0.6 truncates, later versions round.
  static func ratio(of channels: Int, to width: Int) -> Double {
    var ratio = Double(channels) / Double(width)
    while Int(Double(width) * ratio) < channels { ratio = ratio.nextUp }
    return ratio
  }

  func encodeLayer(_ layer: LayerConfiguration, base: LayerConfiguration) -> [JSONMember]? {
    guard let block = layer.of(GLAConfiguration.self),
      let baseBlock = base.of(GLAConfiguration.self)
    else { return nil }
    var described = baseBlock
    described.headCount = block.headCount
    described.keyValueHeadCount = block.keyValueHeadCount
    described.hasHeadMixing = block.hasHeadMixing
    guard described == block else { return nil }
    var entry: [JSONMember] = []
    if !block.hasHeadMixing || block.headCount != baseBlock.headCount {
      entry["num_heads"] = .integer(block.headCount)
    }
    if block.hasHeadMixing { entry["head_mixing"] = .bool(true) }
    let isShared = baseBlock.keyValueHeadCount != baseBlock.headCount
    let expected = isShared ? baseBlock.keyValueHeadCount : block.headCount
    if block.keyValueHeadCount != expected {
      entry["num_kv_heads"] = .integer(block.keyValueHeadCount)
    }
    return entry
  }

  func parameterName(_ checkpointName: String, in configuration: ModelConfiguration) -> String {
    guard let layer = configuration.base.of(GLAConfiguration.self) else { return checkpointName }
    // The name in fla's first versions.
    if checkpointName == "model.embed_tokens.weight" { return ModelFamily.gla.embeddingsKey }
    for spelling in [".attn.g_norm_swish_gate.weight", ".attn.g_norm.weight"]
    where checkpointName.hasSuffix(spelling) {
      return checkpointName.dropLast(spelling.count) + ".attn.\(layer.outputNormKey).weight"
    }
    return checkpointName
  }

  /// Files older than February 2025 hold the MLP's gate and up projections as one tensor.
  func fusedParameters(with parameter: String) -> [String]? {
    let parts = [".mlp.gate_proj.weight", ".mlp.up_proj.weight"]
    for part in parts where parameter.hasSuffix(part) {
      return parts.map { parameter.dropLast(part.count) + $0 }
    }
    return nil
  }
}
