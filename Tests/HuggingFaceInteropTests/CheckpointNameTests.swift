import Foundation
import HuggingFaceInterop
import TensorStorage
import Testing

/// Names that training programs and older libraries give to the same tensors.
@Suite struct CheckpointNameTests {
  private func load(_ rename: (String) -> String?, tied: Bool = false) throws -> HuggingFaceModel {
    let tensors = ModelDirectoryFixture.plainTensors.compactMap { tensor in
      rename(tensor.name).map { name in
        var renamed = tensor
        renamed.name = name
        return renamed
      }
    }
    var fixture = try ModelDirectoryFixture(tensors)
    defer { fixture.remove() }
    if tied { fixture.addFields(#""tie_word_embeddings": true"#) }
    try fixture.write()
    return try HuggingFaceModel.load(directory: fixture.path)
  }

  @Test(arguments: [
    "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.",
    "module._fsdp_wrapped_module.",
  ])
  func wrappersAreTakenOff(prefix: String) throws {
    let expected = try load { $0 }
    #expect(try load { prefix + $0 }.parameters.bits == expected.parameters.bits)
  }

  @Test func wrappersInsideAreTakenOff() throws {
    let expected = try load { $0 }
    let found = try load { name in
      name.replacingOccurrences(of: ".layers.1.", with: ".layers.1._checkpoint_wrapped_module.")
        .replacingOccurrences(of: "model.layers.0.", with: "model._orig_mod.layers.0.")
    }
    #expect(found.parameters.bits == expected.parameters.bits)
  }

  @Test func aWrapperAroundSomeTensorsIsNone() throws {
    let error = #expect(throws: InteropError.self) {
      try load { $0 == "lm_head.weight" ? $0 : "module." + $0 }
    }
    #expect(error?.description.contains("'module.model.embeddings.weight'") == true)
  }

  @Test func theFirstNameOfTheEmbeddingsIsRead() throws {
    let expected = try load { $0 }
    let found = try load {
      $0 == "model.embeddings.weight" ? "model.embed_tokens.weight" : $0
    }
    #expect(found.parameters.bits == expected.parameters.bits)
  }

  @Test func aTiedHeadStandsForTheEmbeddings() throws {
    let found = try load({ $0 == "model.embeddings.weight" ? nil : $0 }, tied: true)
    let head = try #require(
      ModelDirectoryFixture.plainTensors.first { $0.name == "lm_head.weight" })
    #expect(found.parameters["model.embeddings.weight"].map(Array.init) == head.floats)
    #expect(throws: InteropError.self) {
      try load { $0 == "model.embeddings.weight" ? nil : $0 }
    }
  }
}
