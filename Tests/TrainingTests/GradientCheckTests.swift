import Kernels
import LanguageModels
import Layers
import TensorStorage
import Testing
import Training

/// `--debug`'s check of gradients passes what is right and refuses what is a little wrong.
@Suite("gradient check of --debug", .serialized)
struct GradientCheckTests {
  private let check: GradientCheck

  init() {
    configureBLAS()
    var merged = GLAConfiguration(
      hiddenSize: 64, headCount: 4, keyDim: 32, valueDim: 64, intermediateSize: 128)
    merged.convolutionSize = 4
    let plain = merged
    merged.headCount = 1
    merged.keyValueHeadCount = 1
    let configuration = ModelConfiguration(
      family: .gla, hiddenSize: 64, vocabularySize: 100, normEpsilon: 1e-6, tiesEmbeddings: false,
      layers: [.gla(merged), .gla(plain), .gla(plain)])
    check = GradientCheck(configuration, seed: 5)
  }

  @Test("right gradients pass")
  func passes() throws {
    #expect(try check.run())
  }

  @Test(
    "one tensor's gradient a thousandth too large fails",
    arguments: [
      "model.embeddings.weight", "model.layers.0.attn.gk_proj.0.weight",
      "model.layers.1.attn.q_conv1d.weight", "model.norm.weight",
    ])
  func fails(_ name: String) throws {
    var wasFound = false
    let passed = try check.run { gradients in
      guard let values = gradients[name] else { return }
      wasFound = true
      for index in values.indices { values[index] *= 1.001 }
    }
    #expect(wasFound && !passed)
  }

  @Test("NaN fails")
  func notANumber() throws {
    #expect(try !check.run { gradients in gradients["lm_head.weight"]?.update(repeating: .nan) })
  }
}
