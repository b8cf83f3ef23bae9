import JSON
import LanguageModels
import Layers

extension MambaSSMDialect {
  /// `load_state_dict_hf` looks for no other.
  var weightFormat: WeightFormat { .torch }
  var storesTiedHead: Bool { true }

  func checkpointName(_ parameter: String) -> String {
    parameter == ModelFamily.mamba2.embeddingsKey ? Self.embeddingsKey : parameter
  }

  func refusal(of configuration: ModelConfiguration) -> String? {
    guard let layer = configuration.base.of(Mamba2Configuration.self) else {
      return "not a Mamba2 model"
    }
    guard configuration.normEpsilon == Self.normEpsilon, layer.normEpsilon == Self.normEpsilon
    else {
      return "the norms' epsilon is \(layer.normEpsilon), and mamba_ssm's is always"
        + " \(Self.normEpsilon)"
    }
    guard layer.innerSize.isMultiple(of: layer.hiddenSize) else {
      return "the inner width is \(layer.innerSize), and mamba_ssm's is a multiple of"
        + " d_model (\(layer.hiddenSize))"
    }
    return nil
  }

  /// Fields of such a file, or of another what means the same in both.
  func keptFields(_ config: [JSONMember]) -> [JSONMember] {
    let kept = config["ssm_cfg"] == nil ? ["residual_in_fp32"] : knownFields
    return config.filter { kept.contains($0.name) }
  }

  func encodeBase(_ configuration: ModelConfiguration) -> [JSONMember] {
    guard let layer = configuration.base.of(Mamba2Configuration.self) else { return [] }
    var mixer = [
      JSONMember("layer", .string("Mamba2")),
      JSONMember("d_state", .integer(layer.stateSize)),
      JSONMember("d_conv", .integer(layer.convolutionSize)),
      JSONMember("expand", .integer(layer.innerSize / layer.hiddenSize)),
      JSONMember("headdim", .integer(layer.headDim)),
      JSONMember("ngroups", .integer(layer.groupCount)),
      JSONMember("bias", .bool(layer.hasProjectionBias)),
      JSONMember("conv_bias", .bool(layer.hasConvolutionBias)),
    ]
    let limit = layer.timeStepLimit
    if limit != 0...Float.infinity {
      // The bare word Infinity: mamba_ssm reads its files with Python's own json.
      let upper =
        limit.upperBound.isFinite ? JSONValue(limit.upperBound) : JSONValue(python: .infinity)
      mixer["dt_limit"] = .array([JSONValue(limit.lowerBound), upper])
    }
    return [
      JSONMember("d_model", .integer(layer.hiddenSize)),
      JSONMember("d_intermediate", .integer(0)),
      JSONMember("n_layer", .integer(configuration.layers.count)),
      JSONMember("vocab_size", .integer(configuration.vocabularySize)),
      JSONMember("ssm_cfg", .object(mixer)),
      JSONMember("attn_layer_idx", .array([])),
      JSONMember("attn_cfg", .object([])),
      JSONMember("rms_norm", .bool(true)),
      JSONMember("residual_in_fp32", .bool(true)),
      JSONMember("fused_add_norm", .bool(true)),
      JSONMember("pad_vocab_size_multiple", .integer(1)),
      JSONMember("tie_embeddings", .bool(configuration.tiesEmbeddings)),
    ]
  }

  func encodeLayer(_ layer: LayerConfiguration, base: LayerConfiguration) -> [JSONMember]? { nil }
}
