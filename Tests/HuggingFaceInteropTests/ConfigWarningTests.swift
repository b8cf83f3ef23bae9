import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import Testing

private func json(_ text: String) throws -> JSONValue {
  try Array(text.utf8).withUnsafeBytes {
    try JSONValue(parsing: $0, source: "config.json", allowsNonFinite: true)
  }
}

/// What is said of a `config.json` that is read all the same, and what is refused.
@Suite struct ConfigWarningTests {
  private static let mamba2 =
    #"{"model_type": "mamba2", "# + Mamba2ConfigTests.sizes + #", "tie_word_embeddings": true"#

  @Test(arguments: [
    (#"{"model_type": "gla", "num_head": 2, "expand_k": 1}"#, ["num_head"]),
    (
      #"{"model_type": "statex_gla", "attn_mode": "chunk", "statex": {}, "gate_fn": 1, "z": 0}"#,
      ["gate_fn", "z"]
    ),
    (mamba2 + #", "d_state": 3}"#, ["d_state"]),
    (
      #"{"d_model": 64, "n_layer": 1, "vocab_size": 8, "ssm_cfg": {"layer": "Mamba2"}, "x": 0}"#,
      ["x"]
    ),
  ])
  func unknownFieldsAreNamed(text: String, names: [String]) throws {
    let warnings = ModelConfiguration.warnings(configJSON: try json(text), source: "c.json")
    #expect(warnings.count == names.count)
    for (warning, name) in zip(warnings, names) {
      #expect(warning.hasPrefix("c.json: field '\(name)' is not one of "))
      #expect(!warning.contains("\n"))
    }
  }

  @Test func filesOfTheLibrariesHaveNone() throws {
    let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Fixtures")
    var count = 0
    for family in ["gla", "mamba2", "mamba2/dialects"] {
      let folder = fixtures.appendingPathComponent(family).path
      for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
        let directory = folder + "/" + name
        guard FileManager.default.fileExists(atPath: directory + "/config.json") else { continue }
        let warnings = try HuggingFaceModel.loadConfiguration(directory: directory).warnings
        #expect(warnings.isEmpty, "\(directory)")
        count += 1
      }
    }
    #expect(count >= 14)
    let published = try json(Mamba2ConfigTests.published)
    #expect(ModelConfiguration.warnings(configJSON: published, source: "").isEmpty)
  }

  @Test func exportsHaveNone() throws {
    for text in [Self.mamba2 + "}", #"{"model_type": "gla"}"#, Mamba2ConfigTests.published] {
      let raw = try json(text)
      let written = try HuggingFaceModel.configJSON(
        of: try ModelConfiguration(configJSON: raw), rawConfig: raw)
      #expect(ModelConfiguration.warnings(configJSON: written, source: "").isEmpty)
    }
  }

  /// Fields that say whose spelling it is, and whether the norm may be said to come first.
  @Test(arguments: [
    (#""layer_norm_epsilon": 1e-5"#, true), (#""time_step_limit": [0, 1]"#, true),
    (#""norm_eps": 1e-5"#, false), (#""dt_limit": [0, 1]"#, false), (#""use_bias": false"#, false),
    (#""norm_eps": 1e-5, "layer_norm_epsilon": 1e-5"#, false),
  ])
  func aNormBeforeTheGateMeansNothingToTransformers(fields: String, isRead: Bool) throws {
    let config = try json(Self.mamba2 + #", \#(fields), "norm_before_gate": true}"#)
    guard isRead else {
      let error = #expect(throws: InteropError.self) {
        try ModelConfiguration(configJSON: config)
      }
      #expect(error?.description.contains("`norm_before_gate`: ") == true)
      return
    }
    let model = try ModelConfiguration(configJSON: config)
    let plain = try ModelConfiguration(configJSON: try json(Self.mamba2 + ", \(fields)}"))
    #expect(model == plain)
    let warnings = ModelConfiguration.warnings(configJSON: config, source: "c.json")
    #expect(warnings.count == 1 && warnings[0].contains("it is ignored, as transformers does"))
    let written = try HuggingFaceModel.configJSON(of: model, rawConfig: config)
    #expect(written["norm_before_gate"] == nil)
  }

  @Test(arguments: [
    (#""norm_eps": 1e-6, "layer_norm_epsilon": 1e-5"#, "`norm_eps`: ", "is the number 1e-05"),
    (
      #""dt_limit": [0.0, Infinity], "time_step_limit": [0.001, 0.1]"#, "`dt_limit`: ",
      "'time_step_limit' is a list of 2"
    ),
    (#""dt_limit": null, "time_step_limit": [0.001, 0.1]"#, "`dt_limit`: ", "two names"),
  ])
  func twoNamesOfOneFieldMustAgree(fields: String, first: String, second: String) throws {
    let config = try json(Self.mamba2 + ", \(fields)}")
    let error = #expect(throws: InteropError.self) { try ModelConfiguration(configJSON: config) }
    let message = error?.description ?? ""
    #expect(
      error?.exitCode == 65 && message.contains(first) && message.contains(second), "\(message)")
  }

  @Test func eachOfTwoNamesCountsAlone() throws {
    let mixed = try json(Self.mamba2 + #", "layer_norm_epsilon": 1e-6, "dt_limit": [0.02, 0.5]}"#)
    let both = try json(
      Self.mamba2 + #", "layer_norm_epsilon": 1e-6, "norm_eps": 0.000001,"#
        + #" "dt_limit": [0.02, 0.5], "time_step_limit": [0.02, 0.5]}"#)
    let model = try ModelConfiguration(configJSON: mixed)
    #expect(try ModelConfiguration(configJSON: both) == model)
    let written = try HuggingFaceModel.configJSON(of: model, rawConfig: mixed)
    #expect(try ModelConfiguration(configJSON: written) == model)
    for (name, other) in [("norm_eps", "layer_norm_epsilon"), ("dt_limit", "time_step_limit")] {
      let numbers = [name, other].map { written[$0]?.array?.map(\.double) ?? [written[$0]?.double] }
      #expect(numbers[0] == numbers[1] && !numbers[0].contains(nil))
    }
  }
}
