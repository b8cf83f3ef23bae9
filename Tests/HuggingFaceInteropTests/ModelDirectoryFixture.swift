import Foundation
import HuggingFaceInterop
import LanguageModels
import TensorStorage

/// A tensor as the tests write it: name, type, shape and bytes.
struct FixtureTensor {
  var name: String
  var type = "F32"
  var shape: [Int]
  var bytes: [UInt8]

  /// A single-precision tensor of small, distinct, exactly representable values.
  init(_ name: String, _ shape: [Int], seed: Int) {
    self.name = name
    self.shape = shape
    bytes = Self.littleEndian(
      Self.values(count: shape.reduce(1, *), seed: seed).map(\.bitPattern))
  }

  /// Multiples of 1/16 in -8..<8: exact in every type that can be read.
  static func values(count: Int, seed: Int) -> [Float] {
    (0..<count).map { Float(($0 * 37 + seed * 101) % 256 - 128) / 16 }
  }

  static func littleEndian<Integer: FixedWidthInteger>(_ values: [Integer]) -> [UInt8] {
    values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
  }

  /// The values of a single-precision tensor.
  var floats: [Float] {
    stride(from: 0, to: bytes.count, by: 4).map { start in
      var bits: UInt32 = 0
      for byte in bytes[start..<(start + 4)].reversed() { bits = bits << 8 | UInt32(byte) }
      return Float(bitPattern: bits)
    }
  }

  /// The same values in another type.
  func converted(to type: String) -> FixtureTensor {
    var tensor = self
    tensor.type = type
    switch type {
    case "BF16":
      tensor.bytes = Self.littleEndian(floats.map { UInt16($0.bitPattern >> 16) })
    case "F16":
      tensor.bytes = Self.littleEndian(floats.map { Float16($0).bitPattern })
    default: break
    }
    return tensor
  }
}

/// A tiny GLA model directory, written without the code under test.
struct ModelDirectoryFixture {
  static let configText = """
    {
      "model_type": "gla", "hidden_size": 8, "num_heads": 2, "expand_k": 0.5, "expand_v": 1.0,
      "num_hidden_layers": 2, "intermediate_size": 12, "vocab_size": 10, "norm_eps": 1e-06,
      "unknown_but_harmless": [1, 2.50, Infinity], "eos_token_id": 12345678901234567
    }
    """

  let url: URL
  var config = configText
  var tensors: [FixtureTensor]

  /// Creates an empty directory of its own.
  init(_ tensors: [FixtureTensor] = ModelDirectoryFixture.plainTensors) throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent(
      "statex-interop-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    self.tensors = tensors
  }

  var path: String { url.path }

  func file(_ name: String) -> URL { url.appendingPathComponent(name) }

  func remove() { try? FileManager.default.removeItem(at: url) }

  /// The tensors of `configText`, spelt as fla spells them.
  static let plainTensors: [FixtureTensor] = {
    var shapes: [(String, [Int])] = [("model.embeddings.weight", [10, 8])]
    for layer in 0..<2 {
      let prefix = "model.layers.\(layer)."
      shapes += [
        ("attn_norm.weight", [8]), ("mlp_norm.weight", [8]), ("attn.q_proj.weight", [4, 8]),
        ("attn.k_proj.weight", [4, 8]), ("attn.v_proj.weight", [8, 8]),
        ("attn.g_proj.weight", [8, 8]), ("attn.gk_proj.0.weight", [16, 8]),
        ("attn.gk_proj.1.weight", [4, 16]), ("attn.gk_proj.1.bias", [4]),
        ("attn.g_norm_swish_gate.weight", [4]), ("attn.o_proj.weight", [8, 8]),
        ("mlp.gate_proj.weight", [12, 8]), ("mlp.up_proj.weight", [12, 8]),
        ("mlp.down_proj.weight", [8, 12]),
      ].map { (prefix + $0.0, $0.1) }
    }
    shapes += [("model.norm.weight", [8]), ("lm_head.weight", [10, 8])]
    return shapes.enumerated().map { FixtureTensor($1.0, $1.1, seed: $0) }
  }()

  /// The bytes of a safetensors file.
  static func safetensors(_ tensors: [FixtureTensor]) -> [UInt8] {
    var offset = 0
    let entries = tensors.map { tensor in
      let end = offset + tensor.bytes.count
      defer { offset = end }
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      return "\"\(tensor.name)\":{\"dtype\":\"\(tensor.type)\",\"shape\":[\(shape)],"
        + "\"data_offsets\":[\(offset),\(end)]}"
    }
    return safetensors(header: "{" + entries.joined(separator: ",") + "}")
      + tensors.flatMap(\.bytes)
  }

  /// The length and header of a safetensors file.
  static func safetensors(header: String) -> [UInt8] {
    FixtureTensor.littleEndian([UInt64(header.utf8.count)]) + Array(header.utf8)
  }

  /// Writes `config.json` and one weight file.
  func write() throws {
    try writeConfig()
    try Data(Self.safetensors(tensors)).write(to: file("model.safetensors"))
  }

  func writeConfig() throws { try Data(config.utf8).write(to: file("config.json")) }

  /// Writes `config.json`, two shards and their index; `map` may change the index.
  func writeSharded(map: (inout [String: String]) -> Void = { _ in }) throws {
    try writeConfig()
    var weightMap: [String: String] = [:]
    let half = tensors.count / 2
    for (name, part) in [("a.safetensors", tensors[..<half]), ("b.safetensors", tensors[half...])] {
      try Data(Self.safetensors(Array(part))).write(to: file(name))
      for tensor in part { weightMap[tensor.name] = name }
    }
    map(&weightMap)
    let index = ["weight_map": weightMap]
    try JSONSerialization.data(withJSONObject: index)
      .write(to: file("model.safetensors.index.json"))
  }

  /// Replaces a tensor, or removes it.
  mutating func replace(_ name: String, with tensor: FixtureTensor?) {
    guard let index = tensors.firstIndex(where: { $0.name == name }) else { return }
    if let tensor { tensors[index] = tensor } else { tensors.remove(at: index) }
  }

  /// Adds fields to the configuration, before the existing ones.
  mutating func addFields(_ fields: String) {
    config = "{" + fields + "," + config.dropFirst()
  }
}

/// The error a call throws, if it throws one.
func interopError(_ body: () throws(InteropError) -> Void) -> InteropError? {
  do throws(InteropError) {
    try body()
    return nil
  } catch {
    return error
  }
}

extension ParameterArena {
  /// Bit patterns of every element, padding included.
  var bits: [UInt32] { buffer.array().map(\.bitPattern) }
}
