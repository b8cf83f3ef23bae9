import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import Testing

/// Decodes a configuration given as text.
private func decode(_ text: String) throws -> ModelConfiguration {
  let bytes = Array(text.utf8)
  let json = try bytes.withUnsafeBytes {
    try JSONValue(parsing: $0, source: "config.json", allowsNonFinite: true)
  }
  return try ModelConfiguration(configJSON: json)
}

private func gla(_ layer: LayerConfiguration) -> GLAConfiguration {
  guard let block = layer.of(GLAConfiguration.self) else {
    preconditionFailure("expected a GLA layer")
  }
  return block
}

@Suite struct ConfigDecodingTests {
  @Test func defaultsAreThoseOfThePublishedModel() throws {
    let model = try decode(#"{"model_type": "gla"}"#)
    #expect(model.layers.count == 24)
    #expect(model.layout().parameterCount == 1_365_514_240)
    #expect(model.recurrentStateCount == 12_582_912)
    #expect(gla(model.base).intermediateSize == 5632)
    #expect(gla(model.base).normEpsilon == 1e-6)
    #expect(!model.tiesEmbeddings)
  }

  @Test(arguments: [
    (2048, "4", 5632), (1024, "4", 2816), (100, "4", 512), (96, "4", 256), (64, "3", 256),
  ])
  func intermediateSizeFollowsTheRatio(hidden: Int, ratio: String, expected: Int) throws {
    let text =
      #"{"model_type": "gla", "hidden_size": \#(hidden), "num_heads": 2, "#
      + #""hidden_ratio": \#(ratio), "intermediate_size": null}"#
    #expect(gla(try decode(text).base).intermediateSize == expected)
  }

  @Test func everyOptionIsRead() throws {
    let model = try decode(
      """
      {"model_type": "gla", "hidden_size": 32, "num_heads": 4, "num_kv_heads": 2, "expand_k": 1,
       "expand_v": 1.5, "feature_map": "relu", "use_short_conv": true, "conv_size": 3,
       "use_output_gate": false, "clamp_min": -0.5, "elementwise_affine": false, "fuse_norm": false,
       "norm_eps": 1e-5, "tie_word_embeddings": true, "hidden_act": "swish", "attn": null,
       "use_gk": true, "use_gv": false, "vocab_size": 77, "num_hidden_layers": 3}
      """)
    let block = gla(model.base)
    #expect(block.headCount == 4 && block.keyValueHeadCount == 2)
    #expect(block.keyDim == 32 && block.valueDim == 48)
    #expect(block.featureMap == .relu && block.convolutionSize == 3)
    #expect(!block.hasOutputGate && !block.outputNormHasWeight && !block.fusesNorm)
    #expect(block.gateClampMinimum == -0.5 && block.normEpsilon == 1e-5)
    #expect(model.tiesEmbeddings && model.vocabularySize == 77 && model.layers.count == 3)
    #expect(model.normEpsilon == 1e-5)
  }

  @Test func channelsAreRoundedAsByFLA() throws {
    // 100 * 0.29 is 28.999999999999996.
    let model = try decode(
      #"{"model_type": "gla", "hidden_size": 100, "num_heads": 1, "expand_k": 0.29}"#)
    #expect(gla(model.base).keyDim == 29)
  }

  @Test func expandedLayersAreRead() throws {
    let model = try decode(
      """
      {"model_type": "gla", "num_hidden_layers": 4, "hidden_size": 32, "num_heads": 8,
       "num_kv_heads": 4,
       "statex": {"layers": {"0": {"num_heads": 1}, "2": {"num_heads": 4, "num_kv_heads": 1}}}}
      """)
    #expect(gla(model.base).headCount == 8)
    #expect(model.layers[1] == model.base && model.layers[3] == model.base)
    #expect(gla(model.layers[0]).headCount == 1)
    #expect(gla(model.layers[0]).keyValueHeadCount == 1)
    #expect(gla(model.layers[2]).headCount == 4)
    #expect(gla(model.layers[2]).keyValueHeadCount == 1)
    #expect(gla(model.layers[0]).headValueDim == 32)
  }

  @Test func headMixingIsReadAndWritten() throws {
    let model = try decode(
      """
      {"model_type": "gla", "num_hidden_layers": 3, "hidden_size": 32, "num_heads": 4,
       "statex": {"layers": {"1": {"head_mixing": true}, "2": {"num_heads": 1}}}}
      """)
    let mixing = gla(model.layers[1])
    #expect(mixing.hasHeadMixing && mixing.headCount == 4)
    #expect(mixing.recurrentStateCount == 16 * 32 && gla(model.base).recurrentStateCount == 128)
    #expect(!gla(model.layers[2]).hasHeadMixing)
    #expect(model.layout()["model.layers.1.attn.head_mixing.weight"]?.shape == [4, 16])
    #expect(model.layout()["model.layers.2.attn.head_mixing.weight"] == nil)
    let written = try HuggingFaceModel.configJSON(of: model)
    #expect(try ModelConfiguration(configJSON: written) == model)
    #expect(written["statex"]?["layers"]?["1"] == .object([JSONMember("head_mixing", .bool(true))]))
  }

  /// Fields, and what the message must contain.
  @Test(arguments: [
    (#""hidden_size": 0"#, "`hidden_size`: must be between 1 and 1048576, found 0"),
    (#""hidden_size": -8"#, "`hidden_size`: must be between 1 and 1048576, found -8"),
    (#""hidden_size": "8""#, "`hidden_size`: expected an integer, found the text \"8\""),
    (#""hidden_size": 8.0"#, "an integer"),
    (#""hidden_size": null"#, "`hidden_size`"),
    (#""hidden_size": 99999999999999999999"#, "must be at most 1073741824, found 1e+20"),
    (#""hidden_size": 1e400"#, "`hidden_size`"), (#""num_heads": 3"#, "`num_heads`"),
    (#""num_heads": 0"#, "`num_heads`"), (#""num_kv_heads": 3"#, "`num_kv_heads`"),
    (#""num_hidden_layers": 5000"#, "`num_hidden_layers`"), (#""vocab_size": 0"#, "`vocab_size`"),
    (#""vocab_size": 99999999999"#, "`vocab_size`"), (#""expand_k": 0"#, "`expand_k`"),
    (#""expand_k": Infinity"#, "`expand_k`"), (#""expand_k": NaN"#, "`expand_k`"),
    (#""expand_v": 1e-9"#, "`expand_v`"), (#""expand_v": 65"#, "`expand_v`"),
    (#""intermediate_size": 0"#, "`intermediate_size`"), (#""hidden_ratio": -1"#, "`hidden_ratio`"),
    (#""norm_eps": 0"#, "`norm_eps`"), (#""norm_eps": 1e-60"#, "`norm_eps`"),
    (#""clamp_min": 0.5"#, "`clamp_min`"), (#""clamp_min": -Infinity"#, "`clamp_min`"),
    (#""feature_map": "softmax""#, "`feature_map`: expected one of "),
    (#""hidden_act": "gelu""#, "`hidden_act`"),
    (#""hidden_act": "silu""#, "`hidden_act`"),
    (#""feature_map": "elu""#, "`feature_map`"),
    (#""expand_k": 0.501"#, "must be a whole number"),
    (#""expand_v": 1.03"#, "must be a whole number"),
    (#""use_short_conv": 1"#, "`use_short_conv`"),
    (#""use_short_conv": true, "conv_size": 0"#, "`conv_size`"),
    (#""use_short_conv": true, "share_conv_kernel": true"#, "`share_conv_kernel`"),
    (#""conv_bias": true"#, "`conv_bias`"), (#""use_gv": true"#, "`use_gv`"),
    (#""use_gk": false"#, "`use_gk`: models without key gates are not supported, found false"),
    (#""attn": {"layers": [1]}"#, "`attn`"),
    (#""attnres_block_size": 4"#, "`attnres_block_size`"),
    (#""quantization_config": {"bits": 4}"#, "`quantization_config`"),
    (#""statex": 1"#, "`statex`"), (#""statex": {"layer": {}}"#, "`statex.layer`"),
    (#""statex": {"layers": []}"#, "`statex.layers`"),
    (#""statex": {"layers": {"24": {"num_heads": 1}}}"#, "`statex.layers.24`"),
    (#""statex": {"layers": {"-1": {"num_heads": 1}}}"#, "`statex.layers.-1`"),
    (#""statex": {"layers": {"01": {"num_heads": 1}}}"#, "`statex.layers.01`"),
    (#""statex": {"layers": {"1": {"heads": 1}}}"#, "`statex.layers.1.heads`"),
    (#""statex": {"layers": {"1": {"num_heads": 3}}}"#, "`statex.layers.1.num_heads`"),
    (#""statex": {"layers": {"1": {"num_heads": 0}}}"#, "`statex.layers.1.num_heads`"),
    (
      #""statex": {"layers": {"1": {"num_heads": 2, "num_kv_heads": 3}}}"#,
      "num_kv_heads`: must divide the 2 heads"
    ),
    (#""statex": {"layers": {"1": 1}}"#, "`statex.layers.1`"),
  ])
  func wrongFieldsAreNamed(fields: String, expected: String) throws {
    let error = #expect(throws: InteropError.self) {
      try decode(#"{"model_type": "gla", \#(fields)}"#)
    }
    let text = error?.description ?? ""
    #expect(text.hasPrefix("config.json: ") && text.contains(expected), "\(text)")
    #expect(error?.exitCode == 65)
    #expect(!text.contains("\n"))
  }

  @Test(arguments: [
    #"{"model_type": "gla", "hidden_size": 1048576, "intermediate_size": 4194304, "num_hidden_layers": 4096}"#,
    """
    {"model_type": "mamba2", "hidden_size": 1048576, "num_hidden_layers": 4096, "num_heads": 4194304,
     "head_dim": 16, "expand": 64, "state_size": 65536, "n_groups": 4194304, "vocab_size": 64}
    """,
  ])
  func sizesWhoseProductsOverflowAreRefused(text: String) throws {
    let error = #expect(throws: InteropError.self) { try decode(text) }
    #expect(
      error?.description
        == "config.json: these sizes make a model of more than 17592186044416 parameters")
    #expect(error?.exitCode == 65)
  }

  @Test(arguments: [#"{}"#, #"{"model_type": "mamba"}"#, #"{"model_type": 3}"#])
  func otherFamiliesAreRefused(text: String) throws {
    let error = #expect(throws: InteropError.self) { try decode(text) }
    for name in ["fla GLA", "mamba_ssm Mamba2", "Mamba2 of transformers and fla"] {
      #expect(error?.description.contains(name) == true)
    }
  }

  @Test func initializerRangeIsRead() throws {
    let json = JSONValue.object([JSONMember("initializer_range", .number("0.006"))])
    let initialization = try ScratchInitialization(configJSON: json)
    #expect(initialization.embeddingDeviation == 0.006)
    #expect(initialization.linearDeviation == 0.006)
    #expect(try ScratchInitialization(configJSON: .object([])) == ScratchInitialization())
  }
}
