import LanguageModels
import Layers

extension GLADialect {
  func encodeBase(_ configuration: ModelConfiguration) -> [(key: String, value: JSONValue)] {
    guard case .gla(let layer) = configuration.base else { return [] }
    let hiddenSize = configuration.hiddenSize
    let sharesHeads = layer.keyValueHeadCount != layer.headCount
    return [
      ("model_type", .string(ModelFamily.gla.rawValue)),
      ("hidden_size", JSONValue(hiddenSize)),
      ("expand_k", JSONValue(Self.ratio(of: layer.keyDim, to: hiddenSize))),
      ("expand_v", JSONValue(Self.ratio(of: layer.valueDim, to: hiddenSize))),
      ("intermediate_size", JSONValue(layer.intermediateSize)),
      ("num_hidden_layers", JSONValue(configuration.layers.count)),
      ("num_heads", JSONValue(layer.headCount)),
      ("num_kv_heads", sharesHeads ? JSONValue(layer.keyValueHeadCount) : .null),
      ("feature_map", layer.featureMap.map { .string($0.rawValue) } ?? .null),
      ("use_short_conv", .bool(layer.convolutionSize != nil)),
      ("conv_size", JSONValue(layer.convolutionSize ?? 4)),
      ("use_output_gate", .bool(layer.hasOutputGate)),
      ("clamp_min", layer.gateClampMinimum.map { JSONValue($0) } ?? .null),
      ("hidden_act", .string("swish")),
      ("elementwise_affine", .bool(layer.outputNormHasWeight)),
      ("norm_eps", JSONValue(layer.normEpsilon)),
      ("use_gk", .bool(true)),
      ("use_gv", .bool(false)),
      ("attn", .null),
      ("fuse_norm", .bool(layer.fusesNorm)),
      ("tie_word_embeddings", .bool(configuration.tiesEmbeddings)),
      ("vocab_size", JSONValue(configuration.vocabularySize)),
    ]
  }

  /// A ratio with `int(width * ratio) == channels`, which the plain quotient can miss by rounding.
  static func ratio(of channels: Int, to width: Int) -> Double {
    var ratio = Double(channels) / Double(width)
    while Int(Double(width) * ratio) < channels { ratio = ratio.nextUp }
    return ratio
  }

  func encodeLayer(_ layer: LayerConfiguration, base: LayerConfiguration) -> JSONObject? {
    guard case .gla(let block) = layer, case .gla(let baseBlock) = base else { return nil }
    var described = baseBlock
    described.headCount = block.headCount
    described.keyValueHeadCount = block.keyValueHeadCount
    guard described == block else { return nil }
    var entry = JSONObject()
    entry["num_heads"] = JSONValue(block.headCount)
    let isShared = baseBlock.keyValueHeadCount != baseBlock.headCount
    let expected = isShared ? baseBlock.keyValueHeadCount : block.headCount
    if block.keyValueHeadCount != expected {
      entry["num_kv_heads"] = JSONValue(block.keyValueHeadCount)
    }
    return entry
  }

  func parameterName(_ checkpointName: String, in configuration: ModelConfiguration) -> String {
    guard case .gla(let layer) = configuration.base else { return checkpointName }
    for spelling in [".attn.g_norm_swish_gate.weight", ".attn.g_norm.weight"]
    where checkpointName.hasSuffix(spelling) {
      return checkpointName.dropLast(spelling.count) + ".attn.\(layer.outputNormKey).weight"
    }
    return checkpointName
  }

  /// Files older than February 2025 hold the MLP's gate and up projections as one tensor.
  func fusedSource(of parameter: String) -> FusedSource? {
    for (part, suffix) in [".mlp.gate_proj.weight", ".mlp.up_proj.weight"].enumerated()
    where parameter.hasSuffix(suffix) {
      let name = parameter.dropLast(suffix.count) + ".mlp.gate_proj.weight"
      return FusedSource(name: String(name), part: part, parts: 2)
    }
    return nil
  }
}
