import Files
import Foundation
import HuggingFaceInterop
import JSON
import LanguageModels
import TensorFiles
import TensorStorage
import Testing

/// The type in which each tensor is stored, and numbers that it does not have.
@Suite struct ElementTypeTests {
  private let fixture: ModelDirectoryFixture
  private var target: String { fixture.path + ".export" }

  /// A model in bfloat16 whose norms are in single precision.
  init() throws {
    fixture = try ModelDirectoryFixture(
      ModelDirectoryFixture.plainTensors.map {
        $0.name.contains("norm") ? $0 : $0.converted(to: "BF16")
      })
    try fixture.write()
  }

  private func remove() {
    fixture.remove()
    try? FileManager.default.removeItem(atPath: target)
  }

  private func export(_ model: HuggingFaceModel, _ types: ElementTypes) throws {
    try HuggingFaceModel.export(
      configuration: model.configuration, parameters: model.parameters, rawConfig: model.raw,
      to: target, dtype: types)
  }

  @Test func eachTensorKeepsItsOwnType() throws {
    defer { remove() }
    let model = try HuggingFaceModel.load(directory: fixture.path)
    #expect(model.elementTypes.prevailing == .bfloat16)
    #expect(model.elementTypes.description == "bfloat16 (7 tensors float32)")
    try export(model, model.elementTypes)
    let header = try SafetensorsHeader(MappedFile(path: target + "/model.safetensors"))
    for tensor in header.tensors {
      #expect(
        tensor.dataType == (tensor.name.contains("norm") ? .float32 : .bfloat16), "\(tensor.name)")
    }
    let again = try HuggingFaceModel.load(directory: target)
    #expect(again.parameters.bits == model.parameters.bits)
    #expect(again.elementTypes == model.elementTypes)
    #expect(again.raw["torch_dtype"] == .string("bfloat16"))
  }

  @Test func shardsCountTheBytesOfTheirTypes() throws {
    defer { remove() }
    let model = try HuggingFaceModel.load(directory: fixture.path)
    try HuggingFaceModel.export(
      configuration: model.configuration, parameters: model.parameters, to: target,
      dtype: model.elementTypes, maxShardBytes: 1000)
    let summary = try HuggingFaceModel.describeWeights(directory: target)
    #expect(summary.fileCount > 2)
    let index = try Data(contentsOf: URL(fileURLWithPath: target + "/model.safetensors.index.json"))
    let json = try #require(
      try JSONSerialization.jsonObject(with: index) as? [String: [String: Any]])
    #expect(json["metadata"]?["total_size"] as? Int == summary.byteCount)
  }

  @Test func numbersBeyondATypeAreRefusedByName() throws {
    defer { remove() }
    let model = try HuggingFaceModel.load(directory: fixture.path)
    let name = "model.layers.1.attn.o_proj.weight"
    let elements = try #require(model.parameters[name])
    for (value, types, code) in [
      (Float(65519.9), ElementTypes.float16, nil), (65520, .float16, 64), (65520, .bfloat16, nil),
      (Float(bitPattern: 0x7F7F_7FFF), .bfloat16, nil),
      (-Float(bitPattern: 0x7F7F_8000), .bfloat16, 64), (.greatestFiniteMagnitude, .float32, nil),
      (.infinity, .float32, 65), (-.infinity, .bfloat16, 65), (.nan, .float32, 65),
      (-.nan, .float16, 65), (Float(bitPattern: 0x7F80_0001), .bfloat16, 65),
    ] as [(Float, ElementTypes, Int32?)] {
      elements[elements.count - 1] = value
      let error = interopError { () throws(InteropError) in
        try HuggingFaceModel.export(
          configuration: model.configuration, parameters: model.parameters, to: target,
          dtype: types)
      }
      #expect(error?.exitCode == code, "\(value)")
      #expect(error == nil || error?.description.contains("'\(name)'") == true)
      #expect(error == nil || error?.description.contains("element 63") == true)
    }
  }

  /// Bits of one element, in the type of its tensor, and whether it is a number.
  @Test(
    arguments: [
      ("F32", [0xFF, 0xFF, 0xFF, 0xFF], "NaN"), ("F32", [0, 0, 0x80, 0xFF], "-inf"),
      ("F32", [1, 0, 0x80, 0x7F], "NaN"), ("F32", [0xFF, 0xFF, 0x7F, 0x7F], nil),
      ("BF16", [0x80, 0x7F], "inf"), ("BF16", [0x81, 0xFF], "NaN"), ("BF16", [0x7F, 0xFF], nil),
      ("F16", [0, 0x7C], "inf"), ("F16", [1, 0xFC], "NaN"), ("F16", [0xFF, 0xFB], nil),
    ] as [(String, [UInt8], String?)])
  func weightsThatAreNoNumbersAreRefused(type: String, bits: [UInt8], value: String?) throws {
    defer { remove() }
    var changed = fixture
    let name = "model.layers.0.mlp.down_proj.weight"
    var tensor = try #require(ModelDirectoryFixture.plainTensors.first { $0.name == name })
      .converted(to: type)
    tensor.bytes.replaceSubrange((tensor.bytes.count - bits.count)..., with: bits)
    changed.replace(name, with: tensor)
    try changed.write()
    let error = interopError { () throws(InteropError) in
      _ = try HuggingFaceModel.load(directory: changed.path)
    }
    guard let value else { return #expect(error == nil) }
    #expect(error?.exitCode == 65)
    #expect(error?.description.contains("'\(name)' holds \(value) (element 95)") == true)
  }
}
