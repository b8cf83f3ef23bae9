import Foundation
import HuggingFaceInterop
import TensorFiles
import Testing

@Suite struct ImportTests {
  /// Every tensor of the fixture under its own name.
  private func expectPlain(_ model: HuggingFaceModel, except: Set<String> = []) {
    for tensor in ModelDirectoryFixture.plainTensors where !except.contains(tensor.name) {
      let values = model.parameters[tensor.name].map(Array.init)
      #expect(values == tensor.floats, "\(tensor.name)")
    }
  }

  @Test(arguments: ["F32", "BF16", "F16"])
  func everyTypeIsReadExactly(type: String) throws {
    let fixture = try ModelDirectoryFixture(
      ModelDirectoryFixture.plainTensors.map { $0.converted(to: type) })
    defer { fixture.remove() }
    try fixture.write()
    let model = try HuggingFaceModel.load(directory: fixture.path)
    expectPlain(model)
    #expect(model.raw["eos_token_id"] == .number("12345678901234567"))
    #expect(
      model.raw["unknown_but_harmless"]
        == .array([.number("1"), .number("2.50"), .number("Infinity")]))
  }

  @Test(arguments: ["BF16", "F16"])
  func everyNumberIsConvertedExactly(type: String) throws {
    // All 65,536 values of the type as embeddings, those that are no numbers as 0.
    let exponent: UInt16 = type == "BF16" ? 0x7F80 : 0x7C00
    let patterns = (UInt16.min...UInt16.max).map { $0 & exponent == exponent ? 0 : $0 }
    var fixture = try ModelDirectoryFixture()
    defer { fixture.remove() }
    fixture.addFields(#""vocab_size": 8192"#)
    fixture.config = fixture.config.replacingOccurrences(of: #""vocab_size": 10,"#, with: "")
    var embeddings = FixtureTensor("model.embeddings.weight", [8192, 8], seed: 0)
    embeddings.type = type
    embeddings.bytes = FixtureTensor.littleEndian(patterns)
    fixture.replace("model.embeddings.weight", with: embeddings)
    fixture.replace("lm_head.weight", with: FixtureTensor("lm_head.weight", [8192, 8], seed: 1))
    try fixture.write()
    let model = try HuggingFaceModel.load(directory: fixture.path)
    let values = try #require(model.parameters["model.embeddings.weight"])
    for (index, pattern) in patterns.enumerated() {
      let value = values[index]
      if type == "BF16" {
        #expect(value.bitPattern == UInt32(pattern) << 16)
      } else {
        let expected = Self.halfValue(pattern)
        #expect(value == expected)
        #expect(value.sign == (pattern >> 15 == 1 ? .minus : .plus))
      }
    }
  }

  /// IEEE half precision from its definition.
  private static func halfValue(_ pattern: UInt16) -> Float {
    let sign: Float = pattern >> 15 == 1 ? -1 : 1
    let exponent = Int(pattern >> 10 & 31)
    let fraction = Float(pattern & 1023) / 1024
    switch exponent {
    case 0: return sign * fraction * 0x1p-14
    default:
      return sign * Float(sign: .plus, exponent: exponent - 15, significand: 1 + fraction)
    }
  }

  @Test func shardsAreRead() throws {
    let fixture = try ModelDirectoryFixture()
    defer { fixture.remove() }
    try fixture.writeSharded()
    expectPlain(try HuggingFaceModel.load(directory: fixture.path))
  }

  @Test func linkedShardsAreRead() throws {
    let fixture = try ModelDirectoryFixture()
    let blobs = try ModelDirectoryFixture()
    defer {
      fixture.remove()
      blobs.remove()
    }
    try fixture.writeSharded()
    try FileManager.default.moveItem(at: fixture.file("a.safetensors"), to: blobs.file("blob"))
    try FileManager.default.createSymbolicLink(
      at: fixture.file("a.safetensors"), withDestinationURL: blobs.file("blob"))
    expectPlain(try HuggingFaceModel.load(directory: fixture.path))
  }

  @Test func eitherNormSpellingIsRead() throws {
    let (fused, plain) = ("attn.g_norm_swish_gate.weight", "attn.g_norm.weight")
    for (stored, fusesNorm) in [(plain, "true"), (fused, "false"), (plain, "false")] {
      var fixture = try ModelDirectoryFixture()
      defer { fixture.remove() }
      fixture.addFields(#""fuse_norm": \#(fusesNorm)"#)
      for i in fixture.tensors.indices {
        fixture.tensors[i].name = fixture.tensors[i].name.replacingOccurrences(
          of: fused, with: stored)
      }
      try fixture.write()
      let model = try HuggingFaceModel.load(directory: fixture.path)
      let key = "model.layers.1." + (fusesNorm == "true" ? fused : plain)
      let expected = ModelDirectoryFixture.plainTensors.first {
        $0.name == "model.layers.1." + fused
      }
      #expect(model.parameters[key].map(Array.init) == expected?.floats)
    }
  }

  @Test func fusedGateAndUpAreSplit() throws {
    var fixture = try ModelDirectoryFixture()
    defer { fixture.remove() }
    let fused = FixtureTensor("model.layers.0.mlp.gate_proj.weight", [24, 8], seed: 5)
    fixture.replace("model.layers.0.mlp.gate_proj.weight", with: fused)
    fixture.replace("model.layers.0.mlp.up_proj.weight", with: nil)
    try fixture.write()
    let model = try HuggingFaceModel.load(directory: fixture.path)
    let gate = model.parameters["model.layers.0.mlp.gate_proj.weight"].map(Array.init)
    let up = model.parameters["model.layers.0.mlp.up_proj.weight"].map(Array.init)
    #expect(gate == Array(fused.floats[..<96]))
    #expect(up == Array(fused.floats[96...]))
    expectPlain(
      model,
      except: ["model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"])
  }

  @Test func tiedHeadMayBeStored() throws {
    for stores in [true, false] {
      var fixture = try ModelDirectoryFixture()
      defer { fixture.remove() }
      fixture.addFields(#""tie_word_embeddings": true"#)
      fixture.replace("lm_head.weight", with: nil)
      if stores { fixture.tensors.append(FixtureTensor("lm_head.weight", [10, 8], seed: 0)) }
      try fixture.write()
      let model = try HuggingFaceModel.load(directory: fixture.path)
      #expect(model.configuration.tiesEmbeddings)
      #expect(model.parameters["lm_head.weight"] == nil)
      expectPlain(model, except: ["lm_head.weight"])
    }
  }

  @Test func doubledPrefixIsRead() throws {
    for head in ["lm_head.weight", "model.lm_head.weight"] {
      var fixture = try ModelDirectoryFixture()
      defer { fixture.remove() }
      for i in fixture.tensors.indices {
        let name = fixture.tensors[i].name
        fixture.tensors[i].name = name == "lm_head.weight" ? head : "model." + name
      }
      try fixture.write()
      expectPlain(try HuggingFaceModel.load(directory: fixture.path))
    }
  }

  @Test func expandedLayerIsRead() throws {
    var fixture = try ModelDirectoryFixture()
    defer { fixture.remove() }
    fixture.addFields(#""statex": {"layers": {"1": {"num_heads": 1}}}"#)
    let norm = FixtureTensor("model.layers.1.attn.g_norm_swish_gate.weight", [8], seed: 3)
    fixture.replace(norm.name, with: norm)
    try fixture.write()
    let model = try HuggingFaceModel.load(directory: fixture.path)
    #expect(model.parameters[norm.name].map(Array.init) == norm.floats)
    #expect(model.configuration.layers[1].recurrentStateCount == 32)
    #expect(model.configuration.layers[0].recurrentStateCount == 16)
  }
}
