import Files
import HuggingFaceInterop
import LanguageModels
import TensorFiles

/// A small model directory, in parts.
struct SmallModel {
  /// `config.json` of a GLA of one layer.
  static let configuration = """
    {"model_type": "gla", "hidden_size": 8, "num_heads": 2, "expand_k": 0.5, "expand_v": 1.0,
     "num_hidden_layers": 1, "intermediate_size": 12, "vocab_size": 10, "norm_eps": 1e-06}
    """

  /// Names and shapes of its tensors.
  static let tensors: [(name: String, shape: [Int])] = [
    ("model.embeddings.weight", [10, 8]), ("model.layers.0.attn_norm.weight", [8]),
    ("model.layers.0.mlp_norm.weight", [8]), ("model.layers.0.attn.q_proj.weight", [4, 8]),
    ("model.layers.0.attn.k_proj.weight", [4, 8]), ("model.layers.0.attn.v_proj.weight", [8, 8]),
    ("model.layers.0.attn.g_proj.weight", [8, 8]),
    ("model.layers.0.attn.gk_proj.0.weight", [16, 8]),
    ("model.layers.0.attn.gk_proj.1.weight", [4, 16]), ("model.layers.0.attn.gk_proj.1.bias", [4]),
    ("model.layers.0.attn.g_norm_swish_gate.weight", [4]),
    ("model.layers.0.attn.o_proj.weight", [8, 8]),
    ("model.layers.0.mlp.gate_proj.weight", [12, 8]),
    ("model.layers.0.mlp.up_proj.weight", [12, 8]),
    ("model.layers.0.mlp.down_proj.weight", [8, 12]),
    ("model.norm.weight", [8]), ("lm_head.weight", [10, 8]),
  ]

  /// A safetensors file of some tensors, all zero.
  static func file(
    _ tensors: some Sequence<(name: String, shape: [Int])>, _ type: TensorDataType = .float32
  ) -> [UInt8] {
    let header = SafetensorsHeader(
      laidOut: tensors.map { .init(name: $0.name, dataType: type, shape: $0.shape) },
      metadata: ["format": "pt"])
    return header.encoded() + [UInt8](repeating: 0, count: header.dataByteCount)
  }
}

extension FuzzTarget {
  /// The header of a safetensors file.
  static var safetensorsHeader: FuzzTarget {
    FuzzTarget("safetensors-header") { _ in
      Prepared(
        corpus: [
          SmallModel.file(SmallModel.tensors), SmallModel.file(SmallModel.tensors[..<2], .bfloat16),
          SmallModel.file([(name: "a", shape: []), (name: "b", shape: [0, 3])]),
        ],
        words: [
          "__metadata__", "\"BF16\"", "\"F64\"", "\"dtype\"", "\"shape\"", "\"data_offsets\"",
        ]
      ) { input in
        let header = try input.withUnsafeBytes {
          try SafetensorsHeader(parsing: $0, fileByteCount: input.count, source: "file")
        }
        try expect(header.fileByteCount == input.count, "the file has another size")
        for tensor in header.tensors {
          let range = header.fileRange(of: tensor)
          try expect(
            range.lowerBound >= header.byteCount && range.upperBound <= input.count,
            "\(tensor.name) lies outside")
        }
      }
    }
  }

  /// `model.safetensors.index.json` beside its shards.
  static var safetensorsIndex: FuzzTarget {
    FuzzTarget("safetensors-index") { room in
      let directory = try room.directory("model")
      try room.write(Array(SmallModel.configuration.utf8), "model/config.json")
      let half = SmallModel.tensors.count / 2
      try room.write(SmallModel.file(SmallModel.tensors[..<half]), "model/a.safetensors")
      try room.write(SmallModel.file(SmallModel.tensors[half...]), "model/b.safetensors")
      let entries = SmallModel.tensors.enumerated().map { index, tensor in
        "\"\(tensor.name)\": \"\(index < half ? "a" : "b").safetensors\""
      }
      let index =
        "{\"metadata\": {\"total_size\": 4096}, \"weight_map\": {"
        + entries.joined(separator: ",\n") + "}}"
      return Prepared(
        corpus: [Array(index.utf8)],
        words: ["\"../a.safetensors\"", "\"/etc/passwd\"", "\"config.json\"", "\"weight_map\""]
      ) { input in
        try room.write(input, "model/model.safetensors.index.json")
        _ = try HuggingFaceModel.load(directory: directory)
      }
    }
  }

  /// A whole model directory: the weights.
  static var modelDirectory: FuzzTarget {
    FuzzTarget("model-directory") { room in
      let directory = try room.directory("model")
      try room.write(Array(SmallModel.configuration.utf8), "model/config.json")
      return Prepared(
        corpus: [
          SmallModel.file(SmallModel.tensors), SmallModel.file(SmallModel.tensors, .bfloat16),
        ],
        words: ["\"BF16\"", "\"F16\"", "\"I64\"", "module.", "_orig_mod.", "model.model."]
      ) { input in
        try room.write(input, "model/model.safetensors")
        _ = try HuggingFaceModel.describeWeights(directory: directory)
        _ = try HuggingFaceModel.load(directory: directory)
      }
    }
  }

  /// The sums of an export.
  static var exportSums: FuzzTarget {
    FuzzTarget("export-sums") { room in
      let directory = try room.directory("model")
      try room.write(Array(SmallModel.configuration.utf8), "model/config.json")
      try room.write(SmallModel.file(SmallModel.tensors), "model/model.safetensors")
      let sums = "0123456789abcdef  config.json\nfedcba9876543210  other.safetensors\n"
      return Prepared(corpus: [Array(sums.utf8)], words: ["model.safetensors", "../x"]) { input in
        try room.write(input, "model/XXH64SUMS")
        _ = try HuggingFaceModel.load(directory: directory)
      }
    }
  }

  /// A card that stands in a model directory.
  static var modelCard: FuzzTarget {
    FuzzTarget("model-card") { room in
      let directory = try room.directory("model")
      let card = """
        # GLA

        | | |
        |---|---|
        | steps | 12 \\| 13 |
        | model | x |

        ## Recipe

        ```yaml
        run: {name: x}
        ```

        <!-- Written by statex. While this text is as it was, the next export replaces it: 00 -->

        """
      return Prepared(corpus: [Array(card.utf8)], words: ["|---|---|", "```yaml\n"]) { input in
        try room.write(input, "model/README.md")
        _ = ModelCard(directory: directory)
      }
    }
  }
}
