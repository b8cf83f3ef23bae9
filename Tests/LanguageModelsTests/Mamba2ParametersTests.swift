import Foundation
import LanguageModels
import Layers
import TensorStorage
import Testing

@Suite("Mamba2 parameters")
struct Mamba2ParametersTests {
  private static let block = Mamba2Configuration(
    hiddenSize: 2048, headCount: 64, headDim: 64, stateSize: 128)

  /// The published state-spaces/mamba2-1.3b, and the expansions of its paper's authors.
  @Test("counts of the 1.3B model", arguments: [(0, 1_343_757_312), (48, 1_419_439_104)])
  func counts(expanded: Int, parameters: Int) {
    var wide = Self.block
    wide.stateSize = 512
    let model = ModelConfiguration(
      family: .mamba2, hiddenSize: 2048, vocabularySize: 50288, normEpsilon: 1e-5,
      tiesEmbeddings: true,
      layers: (0..<48).map { .mamba2($0 < expanded ? wide : Self.block) },
      base: .mamba2(Self.block))
    #expect(model.layout().parameterCount == parameters)
    #expect(model.recurrentStateCount == (expanded == 48 ? 4 : 1) * 48 * 64 * 64 * 128)
  }

  @Test("the projection's rows and the convolution's channels")
  func layout() {
    let layout = Self.block.projection
    #expect(layout.z == 0..<4096)
    #expect(layout.convolved == 4096..<8448)
    #expect(layout.dt == 8448..<8512)
    #expect(layout.rowCount == 8512)
    #expect(layout.xChannels == 0..<4096)
    #expect(layout.bChannels == 4096..<4224)
    #expect(layout.cChannels == 4224..<4352)
  }

  @Test("time steps and decay rates of a model from scratch spread over their ranges")
  func scratch() throws {
    var small = Self.block
    small.hiddenSize = 4
    small.headDim = 1
    let model = ModelConfiguration(
      family: .mamba2, hiddenSize: 4, vocabularySize: 3, normEpsilon: 1e-5, tiesEmbeddings: true,
      layers: [.mamba2(small)])
    let arena = ParameterArena(
      scratch: model, initialization: ScratchInitialization(), seed: 3)
    let bias = try #require(arena["backbone.layers.0.mixer.dt_bias"])
    let steps = bias.map { log1p(exp(Double($0))) }
    #expect(steps.allSatisfy { $0 > 0.000999 && $0 < 0.1001 })
    // Log-uniform: about half lie below the geometric mean.
    #expect((20...44).contains(steps.filter { $0 < 0.01 }.count))
    let rates = try #require(arena["backbone.layers.0.mixer.A_log"]).map { exp(Double($0)) }
    #expect(rates.allSatisfy { $0 > 0.9999 && $0 < 16.001 })
    #expect((20...44).contains(rates.filter { $0 < 8.5 }.count))
  }
}
