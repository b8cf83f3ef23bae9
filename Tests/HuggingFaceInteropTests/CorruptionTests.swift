import Foundation
import HuggingFaceInterop
import Testing

/// One way to spoil a good model directory, and what the error must say.
struct Corruption: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let expected: String
  var exitCode: Int32 = 65
  let spoil: @Sendable (inout ModelDirectoryFixture) throws -> Void

  static func file(
    _ name: String, expected: String, _ change: @escaping @Sendable (inout [UInt8]) -> Void
  ) -> Corruption {
    Corruption(testDescription: name, expected: expected) { fixture in
      var bytes = ModelDirectoryFixture.safetensors(fixture.tensors)
      change(&bytes)
      try fixture.writeConfig()
      try Data(bytes).write(to: fixture.file("model.safetensors"))
    }
  }

  static func tensors(
    _ name: String, expected: String,
    _ change: @escaping @Sendable (inout ModelDirectoryFixture) -> Void
  ) -> Corruption {
    Corruption(testDescription: name, expected: expected) { fixture in
      change(&fixture)
      try fixture.write()
    }
  }

  static func header(_ name: String, _ header: String, expected: String) -> Corruption {
    Corruption(testDescription: name, expected: expected) { fixture in
      try fixture.writeConfig()
      let data = [UInt8](repeating: 0, count: 64)
      try Data(ModelDirectoryFixture.safetensors(header: header) + data)
        .write(to: fixture.file("model.safetensors"))
    }
  }

  static func index(
    _ name: String, expected: String, _ change: @escaping @Sendable (inout [String: String]) -> Void
  ) -> Corruption {
    Corruption(testDescription: name, expected: expected) { try $0.writeSharded(map: change) }
  }

  static let all: [Corruption] = tensorSets + files + headers + indices + directories

  static let tensorSets: [Corruption] = [
    .tensors("wrong shape", expected: "'model.norm.weight' has shape [7]") {
      $0.replace("model.norm.weight", with: FixtureTensor("model.norm.weight", [7], seed: 0))
    },
    .tensors("wrong rank", expected: "has shape [1, 8]; the configuration asks for [8]") {
      $0.replace("model.norm.weight", with: FixtureTensor("model.norm.weight", [1, 8], seed: 0))
    },
    .tensors("missing tensor", expected: "missing 1 tensor ('model.norm.weight')") {
      $0.replace("model.norm.weight", with: nil)
    },
    .tensors("many missing", expected: ", and 9 more") { fixture in
      fixture.tensors.removeAll { $0.name.hasPrefix("model.layers.1.") }
    },
    .tensors("surplus tensor", expected: "config.json describes: 1 tensor ('model.extra')") {
      $0.tensors.append(FixtureTensor("model.extra", [2], seed: 0))
    },
    .tensors("a layer too many", expected: "14 tensors ('model.layers.1.attn.g_norm_swish_gate") {
      $0.addFields(#""num_hidden_layers": 1"#)
      $0.config = $0.config.replacingOccurrences(of: #""num_hidden_layers": 2,"#, with: "")
    },
    .tensors("fused gate beside up", expected: "gate_proj.weight' has shape [24, 8]") {
      let name = "model.layers.0.mlp.gate_proj.weight"
      $0.replace(name, with: FixtureTensor(name, [24, 8], seed: 0))
    },
    .tensors("half a fused gate", expected: "missing 1 tensor ('model.layers.0.mlp.up_proj") {
      $0.replace("model.layers.0.mlp.up_proj.weight", with: nil)
    },
    .tensors("two norm spellings", expected: "are the same parameter") {
      $0.tensors.append(FixtureTensor("model.layers.0.attn.g_norm.weight", [4], seed: 0))
    },
    .tensors("another tied head", expected: "differs from the embeddings") {
      $0.addFields(#""tie_word_embeddings": true"#)
    },
    .tensors("a tied head of another shape", expected: "differs from the embeddings") {
      $0.addFields(#""tie_word_embeddings": true"#)
      $0.replace("lm_head.weight", with: FixtureTensor("lm_head.weight", [10, 4], seed: 0))
    },
    .tensors("unsupported type", expected: "'model.norm.weight' is of type I32") {
      var tensor = FixtureTensor("model.norm.weight", [8], seed: 0)
      tensor.type = "I32"
      $0.replace("model.norm.weight", with: tensor)
    },
    .tensors("an expansion the weights do not have", expected: "asks for [8]") {
      $0.addFields(#""statex": {"layers": {"0": {"num_heads": 1}}}"#)
    },
    .tensors("a configuration of terabytes", expected: "more than 17592186044416 parameters") {
      $0.addFields(#""hidden_size": 1048576, "vocab_size": 16777216"#)
      $0.config = $0.config.replacingOccurrences(of: #""hidden_size": 8, "#, with: "")
        .replacingOccurrences(of: #""vocab_size": 10, "#, with: "")
    },
  ]

  static let files: [Corruption] = [
    .file("truncated", expected: "truncated") { $0.removeLast() },
    .file("truncated in the header", expected: "truncated") { $0 = Array($0[..<100]) },
    .file("only a length", expected: "model.safetensors: ") { $0 = Array($0[..<8]) },
    .file("empty", expected: "0 bytes") { $0 = [] },
    .file("bytes at the end", expected: "of no tensor") { $0.append(0) },
    .file("a header of 2^63 bytes", expected: "header length") { $0[7] = 0x80 },
    .file("a header past the end", expected: "header length") { $0[3] = 1 },
  ]

  static let headers: [Corruption] = [
    .header("not JSON", "hello", expected: "model.safetensors: "),
    .header(
      "deep nesting", "{\"a\":" + String(repeating: "[", count: 1_000_000),
      expected: "model.safetensors: "),
    .header(
      "overlapping data",
      #"{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},"#
        + #""b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#, expected: "overlaps"),
    .header(
      "a hole", #"{"a":{"dtype":"F32","shape":[15],"data_offsets":[4,64]}}"#,
      expected: "belong to no tensor"),
    .header(
      "a lying shape", #"{"a":{"dtype":"F32","shape":[17],"data_offsets":[0,64]}}"#,
      expected: "shape"),
    .header(
      "an overflowing shape",
      #"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}"#,
      expected: "shape"),
    .header(
      "a duplicate name",
      #"{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},"#
        + #""a":{"dtype":"F32","shape":[8],"data_offsets":[32,64]}}"#, expected: "duplicate"),
    .header(
      "negative offsets", #"{"a":{"dtype":"F32","shape":[16],"data_offsets":[-64,0]}}"#,
      expected: "model.safetensors: "),
  ]

  static let indices: [Corruption] = [
    .index("a missing shard", expected: "'c.safetensors', which is not there") {
      $0["lm_head.weight"] = "c.safetensors"
    },
    .index("a tensor in the wrong shard", expected: "holds tensor 'lm_head.weight', but it does") {
      $0["lm_head.weight"] = "a.safetensors"
    },
    .index("a tensor nobody has", expected: "holds tensor 'ghost', but it does not") {
      $0["ghost"] = "b.safetensors"
    },
    .index("a tensor the index forgot", expected: "does not say") {
      $0["lm_head.weight"] = nil
    },
    .index("a path that climbs", expected: "not inside the directory") {
      $0["lm_head.weight"] = "../b.safetensors"
    },
    .index("a path that climbs later", expected: "not inside the directory") {
      $0["lm_head.weight"] = "x/../../b.safetensors"
    },
    .index("an absolute path", expected: "not inside the directory") {
      $0["lm_head.weight"] = "/etc/passwd"
    },
    .index("an empty path", expected: "not inside the directory") { $0["lm_head.weight"] = "" },
    Corruption(testDescription: "an index without map", expected: "'weight_map'") {
      try $0.writeSharded()
      try Data("{}".utf8).write(to: $0.file("model.safetensors.index.json"))
    },
    Corruption(testDescription: "an index of numbers", expected: "'a' in 'weight_map'") {
      try $0.writeSharded()
      try Data(#"{"weight_map": {"a": 1}}"#.utf8)
        .write(to: $0.file("model.safetensors.index.json"))
    },
  ]

  static let directories: [Corruption] = [
    Corruption(testDescription: "no config.json", expected: "config.json: not found") { fixture in
      try fixture.write()
      try FileManager.default.removeItem(at: fixture.file("config.json"))
    },
    .tensors("a config.json that is cut", expected: "config.json: line ") {
      $0.config = String($0.config.dropLast(4))
    },
    .tensors("a config.json with a comment", expected: "config.json: line 2, column 1: ") {
      $0.config = "{\n// no\n}"
    },
    .tensors("a config.json of one number", expected: "expected a mapping of keys") {
      $0.config = "3"
    },
    .tensors("a config.json that is too deep", expected: "nested") {
      $0.config = String(repeating: "[", count: 1_000_000)
    },
    .tensors("a field twice", expected: "duplicate key \"hidden_size\"") {
      $0.addFields(#""hidden_size": 8"#)
    },
    Corruption(testDescription: "no weights", expected: "model.safetensors: not found") {
      try $0.writeConfig()
    },
    Corruption(testDescription: "pickled weights", expected: "it has no zip directory") { fixture in
      try fixture.writeConfig()
      try Data([0x80]).write(to: fixture.file("pytorch_model.bin"))
    },
    Corruption(testDescription: "pickled shards", expected: "has no object 'weight_map'") {
      fixture in
      try fixture.writeConfig()
      try Data("{}".utf8).write(to: fixture.file("pytorch_model.bin.index.json"))
    },
    Corruption(testDescription: "weights that are a directory", expected: "not a regular file") {
      try $0.writeConfig()
      try FileManager.default.createDirectory(
        at: $0.file("model.safetensors"), withIntermediateDirectories: false)
    },
    Corruption(testDescription: "no directory", expected: "No such file", exitCode: 74) {
      $0.remove()
    },
    Corruption(testDescription: "a dangling link", expected: "No such file", exitCode: 74) {
      try $0.writeConfig()
      try FileManager.default.createSymbolicLink(
        atPath: $0.file("model.safetensors").path, withDestinationPath: "nowhere")
    },
  ]
}

@Suite struct CorruptionTests {
  @Test(arguments: Corruption.all)
  func oneClearError(corruption: Corruption) throws {
    var fixture = try ModelDirectoryFixture()
    defer { fixture.remove() }
    try corruption.spoil(&fixture)
    let path = fixture.path
    let error = interopError { () throws(InteropError) in
      _ = try HuggingFaceModel.load(directory: path)
    }
    let text = error?.description ?? "no error"
    #expect(text.contains(corruption.expected), "\(text)")
    #expect(text.contains(path) && !text.contains("\n") && text.count < 800, "\(text)")
    #expect(error?.exitCode == corruption.exitCode)
  }
}
