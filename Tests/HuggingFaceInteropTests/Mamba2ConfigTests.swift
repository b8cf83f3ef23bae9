import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import Testing

/// Parses JSON with Python's words for infinities.
private func json(_ text: String) throws -> JSONValue {
  try Array(text.utf8).withUnsafeBytes {
    try JSONValue(parsing: $0, source: "config.json", allowsNonFinite: true)
  }
}

private func mamba2(_ layer: LayerConfiguration) throws -> Mamba2Configuration {
  guard let block = layer.of(Mamba2Configuration.self) else { throw NotMamba2() }
  return block
}

private struct NotMamba2: Error {}

@Suite("Mamba2 configurations") struct Mamba2ConfigTests {
  static let sizes =
    #""hidden_size": 48, "num_hidden_layers": 3, "num_heads": 8, "head_dim": 12, "state_size": 10,"#
    + #" "n_groups": 2, "vocab_size": 83, "expand": 2"#

  /// The file of state-spaces/mamba2-1.3b.
  static let published = """
    {"d_model": 2048, "d_intermediate": 0, "n_layer": 48, "vocab_size": 50277,
     "ssm_cfg": {"layer": "Mamba2"}, "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": true,
     "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 16,
     "tie_embeddings": true}
    """

  @Test func publishedFileIsThePublishedModel() throws {
    let model = try ModelConfiguration(configJSON: try json(Self.published))
    #expect(model.layout().parameterCount == 1_343_757_312)
    #expect(model.recurrentStateCount == 25_165_824)
    #expect(model.vocabularySize == 50288 && model.tiesEmbeddings)
    let block = try mamba2(model.base)
    #expect(
      block == Mamba2Configuration(hiddenSize: 2048, headCount: 64, headDim: 64, stateSize: 128))
  }

  @Test func everyOptionIsReadInEitherSpelling() throws {
    let options = #""use_bias": true, "use_conv_bias": false, "conv_kernel": 3"#
    for (epsilon, limit) in [("layer_norm_epsilon", "time_step_limit"), ("norm_eps", "dt_limit")] {
      let model = try ModelConfiguration(
        configJSON: try json(
          #"{"model_type": "mamba2", \#(Self.sizes), \#(options), "\#(epsilon)": 1e-6,"#
            + #" "\#(limit)": [0.02, 0.5], "tie_word_embeddings": true}"#))
      var wanted = Mamba2Configuration(
        hiddenSize: 48, headCount: 8, headDim: 12, stateSize: 10, groupCount: 2, normEpsilon: 1e-6)
      wanted.hasProjectionBias = true
      wanted.hasConvolutionBias = false
      wanted.convolutionSize = 3
      wanted.timeStepLimit = 0.02...0.5
      #expect(try mamba2(model.base) == wanted)
      #expect(model.layers.count == 3 && model.tiesEmbeddings && model.normEpsilon == 1e-6)
    }
    let official = try ModelConfiguration(
      configJSON: try json(
        """
        {"d_model": 48, "n_layer": 3, "vocab_size": 83, "pad_vocab_size_multiple": 1,
         "tie_embeddings": false,
         "ssm_cfg": {"layer": "Mamba2", "d_state": 10, "d_conv": 3, "expand": 3, "headdim": 24,
           "ngroups": 2, "bias": true, "conv_bias": false, "dt_limit": [0.02, 0.5]}}
        """))
    let block = try mamba2(official.base)
    #expect(block.headCount == 6 && block.headDim == 24 && block.groupCount == 2)
    #expect(
      block.stateSize == 10 && block.convolutionSize == 3 && block.timeStepLimit == 0.02...0.5)
    #expect(block.hasProjectionBias && !block.hasConvolutionBias && !official.tiesEmbeddings)
    #expect(official.vocabularySize == 83)
  }

  @Test(arguments: [
    "Infinity", #""inf""#, #""Infinity""#, #""float(\"inf\")""#, #"{"__float__": "Infinity"}"#,
    "1e999", #"".inf""#,
  ])
  func infinityHasManySpellings(spelling: String) throws {
    let model = try ModelConfiguration(
      configJSON: try json(
        #"{"model_type": "mamba2", \#(Self.sizes), "time_step_limit": [0.001, \#(spelling)]}"#))
    #expect(try mamba2(model.base).timeStepLimit == 0.001...Float.infinity)
  }

  @Test func expandedLayersAreRead() throws {
    let text =
      #"{"model_type": "mamba2", \#(Self.sizes),"#
      + #" "statex": {"layers": {"0": {"state_size": 40}, "2": {"state_size": 20}}}}"#
    let model = try ModelConfiguration(configJSON: try json(text))
    #expect(try model.layers.map { try mamba2($0).stateSize } == [40, 10, 20])
    #expect(try mamba2(model.base).stateSize == 10)
    let written = try HuggingFaceModel.configJSON(of: model)
    #expect(try ModelConfiguration(configJSON: written) == model)
    #expect(
      String(decoding: written["statex"]?.encoded() ?? [], as: UTF8.self)
        .filter { !" \n".contains($0) }
        == #"{"layers":{"0":{"state_size":40},"2":{"state_size":20}}}"#)
  }

  /// Fields in the spelling of transformers, and what the message must contain.
  @Test(arguments: [
    (#""num_heads": 7"#, "`num_heads`: num_heads (7) x head_dim (12) must be expand x"),
    (#""n_groups": 3"#, "`n_groups`: must divide the 8 heads"),
    (#""n_groups": null"#, "`n_groups`"), (#""state_size": 0"#, "`state_size`"),
    (#""state_size": 70000"#, "`state_size`: must be between 1 and 65536, found 70000"),
    (#""head_dim": 0"#, "`head_dim`"),
    (#""expand": 0"#, "`expand`"), (#""conv_kernel": 0"#, "`conv_kernel`"),
    (#""hidden_act": "gelu""#, "`hidden_act`"), (#""vocab_size": 0"#, "`vocab_size`"),
    (#""layer_norm_epsilon": 0"#, "`layer_norm_epsilon`"),
    (#""use_bias": 1"#, "`use_bias`"), (#""D_has_hdim": true"#, "`D_has_hdim`"),
    (#""norm_before_gate": true"#, "`norm_before_gate`"),
    (#""rmsnorm": false"#, "`rmsnorm`"),
    (#""time_step_limit": [0]"#, "`time_step_limit`"),
    (#""time_step_limit": [0.5, 0.1]"#, "expected 0 <= lower <= upper"),
    (#""time_step_limit": [0.0, 0.0]"#, "`time_step_limit`"),
    (#""time_step_limit": [-1, 1]"#, "`time_step_limit`"),
    (#""time_step_limit": [Infinity, Infinity]"#, "`time_step_limit`"),
    (#""time_step_limit": [0, "much"]"#, "infinity is written Infinity"),
    (#""time_step_limit": [0, NaN]"#, "`time_step_limit`"),
    (
      #""statex": {"layers": {"0": {"num_heads": 1}}}"#,
      "unknown key `statex.layers.0.num_heads`; known here: state_size"
    ),
    (#""statex": {"layers": {"3": {"state_size": 20}}}"#, "`statex.layers.3`"),
    (#""statex": {"layers": {"0": {"state_size": 0}}}"#, "`statex.layers.0.state_size`"),
  ])
  func wrongFieldsAreNamed(fields: String, expected: String) throws {
    let name = fields.split(separator: "\"")[0]
    let rest = Self.sizes.split(separator: ", ").filter { !$0.hasPrefix("\"\(name)\"") }
      .joined(separator: ", ")
    try expectRefused(#"{"model_type": "mamba2", \#(rest), \#(fields)}"#, expected)
  }

  @Test(arguments: [
    "hidden_size", "num_hidden_layers", "head_dim", "state_size", "n_groups", "vocab_size",
  ])
  func sizesMustBeGiven(name: String) throws {
    let rest = Self.sizes.split(separator: ", ").filter { !$0.hasPrefix("\"\(name)\"") }
      .joined(separator: ", ")
    try expectRefused(
      #"{"model_type": "mamba2", \#(rest)}"#, "the required key `\(name)` is missing")
  }

  /// Fields in mamba_ssm's spelling, the mixer's apart.
  @Test(arguments: [
    (#""n_layer": 2"#, "", "the required key `ssm_cfg.layer` is missing"),
    (#""n_layer": 2"#, #""layer": "Mamba1""#, "`ssm_cfg.layer`"),
    (#""attn_layer_idx": [1]"#, #""layer": "Mamba2""#, "`attn_layer_idx`"),
    (#""d_intermediate": 8"#, #""layer": "Mamba2""#, "`d_intermediate`"),
    (#""rms_norm": false"#, #""layer": "Mamba2""#, "`rms_norm`"),
    ("", #""layer": "Mamba2", "D_has_hdim": true"#, "`ssm_cfg.D_has_hdim`"),
    ("", #""layer": "Mamba2", "rmsnorm": false"#, "`ssm_cfg.rmsnorm`"),
    ("", #""layer": "Mamba2", "norm_before_gate": true"#, "`ssm_cfg.norm_before_gate`"),
    ("", #""layer": "Mamba2", "d_ssm": 64"#, "`ssm_cfg.d_ssm`"),
    ("", #""layer": "Mamba2", "headdim": 50"#, "`ssm_cfg.headdim`"),
    ("", #""layer": "Mamba2", "ngroups": 3"#, "`ssm_cfg.ngroups`"),
    ("", #""layer": "Mamba2", "activation": "gelu""#, "`ssm_cfg.activation`"),
    (
      "", #""layer": "Mamba2", "headim": 50"#,
      "unknown key `ssm_cfg.headim`; did you mean `headdim`?"
    ),
  ])
  func wrongOfficialFieldsAreNamed(fields: String, mixer: String, expected: String) throws {
    let layers = fields.contains("n_layer") ? "" : #", "n_layer": 2"#
    let others = fields.isEmpty ? "" : ", " + fields
    try expectRefused(
      #"{"d_model": 64, "vocab_size": 60, "ssm_cfg": {\#(mixer)}\#(layers)\#(others)}"#, expected)
  }

  private func expectRefused(_ text: String, _ expected: String) throws {
    let config = try json(text)
    let error = #expect(throws: InteropError.self) { try ModelConfiguration(configJSON: config) }
    let message = error?.description ?? ""
    #expect(message.hasPrefix("config.json: ") && message.contains(expected), "\(message)")
    #expect(error?.exitCode == 65)
  }

  @Test func writtenConfigurationsAreStrictAndComplete() throws {
    let raw = try json(
      #"{"model_type": "mamba2", \#(Self.sizes), "norm_eps": 1e-5, "dt_limit": [0.0, Infinity],"#
        + #" "rmsnorm": true, "rescale_prenorm_residual": true, "other": [1, -Infinity, NaN]}"#)
    let model = try ModelConfiguration(configJSON: raw)
    let written = try HuggingFaceModel.configJSON(of: model, rawConfig: raw)
    #expect(try ModelConfiguration(configJSON: written) == model)
    // Strict JSON: the parser without Python's words.
    _ = try written.encoded().withUnsafeBytes { try JSONValue(parsing: $0, source: "written") }
    for name in ["dt_limit", "rmsnorm", "time_step_limit"] {
      #expect(written[name] == nil, "\(name)")
    }
    for name in ["norm_eps", "layer_norm_epsilon"] { #expect(written[name]?.double == 1e-5) }
    #expect(written["rescale_prenorm_residual"] == .bool(false))
    #expect(written["architectures"] == .array([.string("Mamba2ForCausalLM")]))
    #expect(written["other"]?.array?[1]["__float__"] == .string("-Infinity"))
  }

  @Test func limitsAreWrittenAsTransformersReadsThem() throws {
    for (limit, expected) in [
      (Float(0.02)...0.5, "[0.02, 0.5]"),
      (0.25...Float.infinity, #"[0.25,{"__float__":"Infinity"}]"#),
    ] {
      var block = Mamba2Configuration(hiddenSize: 8, headCount: 2, headDim: 8, stateSize: 4)
      block.timeStepLimit = limit
      let model = ModelConfiguration(
        family: .mamba2, hiddenSize: 8, vocabularySize: 9, normEpsilon: 1e-5, tiesEmbeddings: true,
        layers: [.mamba2(block)])
      let written = try HuggingFaceModel.configJSON(of: model)
      #expect(try ModelConfiguration(configJSON: written) == model)
      for name in ["time_step_limit", "dt_limit"] {
        let text = String(decoding: written[name]?.encoded() ?? [], as: UTF8.self)
        #expect(text.filter { !" \n".contains($0) } == expected.filter { $0 != " " })
      }
    }
  }

  @Test func aNormOverAllChannelsCannotBeDescribed() throws {
    var block = Mamba2Configuration(
      hiddenSize: 8, headCount: 2, headDim: 8, stateSize: 4, groupCount: 2)
    block.gatedNormSpan = .allChannels
    let model = ModelConfiguration(
      family: .mamba2, hiddenSize: 8, vocabularySize: 9, normEpsilon: 1e-5, tiesEmbeddings: true,
      layers: [.mamba2(block)])
    let error = #expect(throws: InteropError.self) { try HuggingFaceModel.configJSON(of: model) }
    #expect(error?.exitCode == 64)
  }
}
