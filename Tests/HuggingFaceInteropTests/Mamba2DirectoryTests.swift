import Files
import Foundation
import HuggingFaceInterop
import LanguageModels
import TensorFiles
import TensorStorage
import Testing

private let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().appendingPathComponent("Fixtures/mamba2")

/// Directories that transformers, fla and mamba_ssm would have written.
@Suite("Mamba2 directories") struct Mamba2DirectoryTests {
  private let target = FileManager.default.temporaryDirectory
    .appendingPathComponent("statex-mamba2-\(UUID().uuidString)").path

  private func load(_ dialect: String) throws -> HuggingFaceModel {
    try HuggingFaceModel.load(
      directory: fixtures.appendingPathComponent("dialects/\(dialect)").path)
  }

  @Test(arguments: ["fla", "mamba_ssm"])
  func dialectsAreOneModel(dialect: String) throws {
    let (model, expected) = try (load(dialect), load("transformers"))
    #expect(model.configuration.layers == expected.configuration.layers)
    #expect(model.configuration.vocabularySize == expected.configuration.vocabularySize)
    #expect(model.configuration.tiesEmbeddings == (dialect == "mamba_ssm"))
    for slot in expected.parameters.layout.slots {
      let values = try #require(model.parameters[slot.name], "\(slot.name)")
      #expect(Array(values) == Array(expected.parameters.elements(slot)), "\(slot.name)")
    }
  }

  @Test(arguments: ["transformers", "fla", "mamba_ssm"])
  func exportsHaveTransformersLayout(dialect: String) throws {
    defer { try? FileManager.default.removeItem(atPath: target) }
    let model = try load(dialect)
    try HuggingFaceModel.export(
      configuration: model.configuration, parameters: model.parameters, rawConfig: model.raw,
      to: target)
    let again = try HuggingFaceModel.load(directory: target)
    #expect(again.configuration == model.configuration)
    #expect(again.parameters.bits == model.parameters.bits)
    let header = try SafetensorsHeader(MappedFile(path: target + "/model.safetensors"))
    #expect(header["backbone.embeddings.weight"] != nil)
    #expect((header["lm_head.weight"] == nil) == model.configuration.tiesEmbeddings)
    #expect(again.raw["model_type"] == .string("mamba2"))
    #expect(again.raw["chunk_size"]?.integer() == 16)
    #expect(again.raw["vocab_size"]?.integer() == 64)
    #expect(again.raw["eos_token_id"]?.integer() == 0)
    for name in ["ssm_cfg", "d_model", "n_layer", "tie_embeddings"] {
      #expect(again.raw[name] == nil, "\(name)")
    }
  }

  @Test func everyFixtureComesBack() throws {
    for name in ["plain", "expanded", "grouped", "odd", "strong_gates"] {
      defer { try? FileManager.default.removeItem(atPath: target) }
      let model = try HuggingFaceModel.load(
        directory: fixtures.appendingPathComponent(name).path)
      for raw in [model.raw, nil] {
        try HuggingFaceModel.export(
          configuration: model.configuration, parameters: model.parameters, rawConfig: raw,
          to: target)
        let again = try HuggingFaceModel.load(directory: target)
        #expect(again.configuration == model.configuration, "\(name)")
        #expect(again.parameters.bits == model.parameters.bits, "\(name)")
        #expect(again.raw["statex"] == model.raw["statex"], "\(name)")
      }
    }
  }

  @Test func aHeadThatIsNotTheEmbeddingsIsNotTied() throws {
    let directory = URL(fileURLWithPath: target)
    defer { try? FileManager.default.removeItem(at: directory) }
    try FileManager.default.copyItem(
      at: fixtures.appendingPathComponent("dialects/mamba_ssm"), to: directory)
    let file = directory.appendingPathComponent("model.safetensors")
    var bytes = try Data(contentsOf: file)
    let header = try SafetensorsHeader(MappedFile(path: file.path))
    let head = try #require(header["lm_head.weight"])
    bytes[header.fileRange(of: head).lowerBound + 1] ^= 0x04
    try bytes.write(to: file)
    let error = interopError { () throws(InteropError) in
      _ = try HuggingFaceModel.load(directory: target)
    }
    #expect(error?.description.contains("'lm_head.weight' differs from the embeddings") == true)
  }
}
