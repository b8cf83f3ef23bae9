import JSON
import LanguageModels
import Layers

extension Mamba2Dialect {
  /// Fields of fla's and mamba_ssm's files that transformers does not know; those of them that an
  /// export has as well are set anew.
  private static let foreignFields = flaFields + MambaSSMDialect.fields

  /// Infinities are written as transformers 5 writes them, since JSON has no word for them; an
  /// unlimited `time_step_limit`, which is the default, is left out for the sake of older versions,
  /// unless it stands there already in that form.
  func keptFields(_ config: [JSONMember]) -> [JSONMember] {
    var kept = config
    let official = config["ssm_cfg"]
    for field in Self.foreignFields { kept[field] = nil }
    if official != nil {
      // mamba_ssm counts the tokenizer's words, and its files say nothing of special tokens: those
      // of the published models' tokenizer, GPT-NeoX, are all 0.
      kept["vocab_size"] = nil
      for field in ["bos_token_id", "eos_token_id", "pad_token_id"] where kept[field] == nil {
        kept[field] = .integer(0)
      }
      if kept["chunk_size"] == nil { kept["chunk_size"] = official?["chunk_size"] }
    }
    let limit = SharedField.timeStepLimit.transformers
    if let value = kept[limit], value.strict != value { kept[limit] = nil }
    if kept["hidden_act"] != nil { kept["hidden_act"] = .string("silu") }
    // transformers 5.23 rescales out_proj of the weights it has just loaded when this is true.
    let rescale = "rescale_prenorm_residual"
    if kept[rescale] != nil { kept[rescale] = .bool(false) }
    return kept.map { JSONMember($0.name, $0.value.strict) }
  }

  func encodeBase(_ configuration: ModelConfiguration) -> [JSONMember] {
    guard let layer = configuration.base.of(Mamba2Configuration.self) else { return [] }
    let expand = GLADialect.ratio(of: layer.innerSize, to: layer.hiddenSize)
    var fields = [
      JSONMember("model_type", .string(ModelFamily.mamba2.name)),
      JSONMember("hidden_size", .integer(layer.hiddenSize)),
      JSONMember("num_hidden_layers", .integer(configuration.layers.count)),
      JSONMember("state_size", .integer(layer.stateSize)),
      JSONMember("num_heads", .integer(layer.headCount)),
      JSONMember("head_dim", .integer(layer.headDim)),
      JSONMember("n_groups", .integer(layer.groupCount)),
      JSONMember("expand", Int(exactly: expand).map { .integer($0) } ?? JSONValue(expand)),
      JSONMember("conv_kernel", .integer(layer.convolutionSize)),
      JSONMember("use_bias", .bool(layer.hasProjectionBias)),
      JSONMember("use_conv_bias", .bool(layer.hasConvolutionBias)),
      JSONMember("hidden_act", .string("silu")),
      JSONMember(SharedField.epsilon.transformers, JSONValue(layer.normEpsilon)),
      JSONMember(SharedField.epsilon.fla, JSONValue(layer.normEpsilon)),
      JSONMember("tie_word_embeddings", .bool(configuration.tiesEmbeddings)),
      JSONMember("vocab_size", .integer(configuration.vocabularySize)),
    ]
    let limit = layer.timeStepLimit
    if limit != 0...Float.infinity {
      let bounds = JSONValue.array([limit.lowerBound, limit.upperBound].map(\.strictJSON))
      fields[SharedField.timeStepLimit.transformers] = bounds
      fields[SharedField.timeStepLimit.fla] = bounds
    }
    return fields
  }

  func encodeLayer(_ layer: LayerConfiguration, base: LayerConfiguration) -> [JSONMember]? {
    guard let block = layer.of(Mamba2Configuration.self),
      var described = base.of(Mamba2Configuration.self)
    else { return nil }
    described.stateSize = block.stateSize
    return described == block ? [JSONMember("state_size", .integer(block.stateSize))] : nil
  }
}

extension Float {
  /// The number in JSON's own terms.
  fileprivate var strictJSON: JSONValue {
    isFinite ? JSONValue(self) : JSONValue(python: Double(self)).strict
  }
}

extension JSONValue {
  /// The value with each `NaN` and infinity as an object, as transformers 5 writes them.
  fileprivate var strict: JSONValue {
    switch self {
    case .number(let text) where ["NaN", "Infinity", "-Infinity"].contains(text):
      .object([JSONMember("__float__", .string(text))])
    case .array(let elements): .array(elements.map(\.strict))
    case .object(let members): .object(members.map { JSONMember($0.name, $0.value.strict) })
    case .null, .bool, .number, .string: self
    }
  }
}
