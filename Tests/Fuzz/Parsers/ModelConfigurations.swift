import HuggingFaceInterop
import JSON
import LanguageModels
import Layers

extension FuzzTarget {
  /// `config.json` of every dialect, and the sizes that follow from it.
  static var modelConfiguration: FuzzTarget {
    FuzzTarget("config") { _ in
      let names = [
        "gla/plain", "gla/expanded", "gla/conv_grouped", "gla/variants", "mamba2/dialects/fla",
        "mamba2/dialects/mamba_ssm", "mamba2/dialects/transformers", "mamba2/expanded",
      ]
      return Prepared(
        corpus: try names.map { try fixture($0 + "/config.json") },
        words: [
          "\"statex\": {\"layers\": {\"0\": {\"num_heads\": 1}}},", "\"model_type\": \"mamba2\",",
          "\"n_groups\": 4194304,", "\"state_size\": 65536,", "\"hidden_size\": 1048576,",
          "\"num_hidden_layers\": 4096,", "\"num_heads\": 4194304,", "\"head_dim\": 1,",
          "{\"__float__\": \"Infinity\"}",
        ]
      ) { input in
        let json = try input.withUnsafeBytes {
          try JSONValue(parsing: $0, source: "config.json", allowsNonFinite: true)
        }
        _ = ModelConfiguration.warnings(configJSON: json, source: "config.json")
        let configuration = try ModelConfiguration(configJSON: json)
        _ = try ScratchInitialization(configJSON: json)
        let layout = configuration.layout()
        try expect(
          layout.count >= layout.parameterCount && configuration.recurrentStateCount >= 0,
          "\(layout.count) elements, \(layout.parameterCount) parameters")
      }
    }
  }
}
