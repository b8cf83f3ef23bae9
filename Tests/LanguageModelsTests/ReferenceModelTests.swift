import Kernels
import LanguageModels
import Layers
import TensorStorage
import Testing

/// The fast model's gradients against finite differences of the `Double` model.
@Suite("gradient check", .serialized)
struct ReferenceModelTests {
  init() { configureBLAS() }

  static func configurations() -> [(String, ModelConfiguration)] {
    let plain = GLAConfiguration(
      hiddenSize: 12, headCount: 2, keyDim: 6, valueDim: 10, intermediateSize: 9)
    var merged = plain
    merged.headCount = 1
    merged.keyValueHeadCount = 1
    var rich = GLAConfiguration(
      hiddenSize: 12, headCount: 4, keyDim: 8, valueDim: 12, intermediateSize: 7)
    rich.keyValueHeadCount = 2
    rich.convolutionSize = 4
    rich.featureMap = .gelu
    rich.gateClampMinimum = -0.06
    var bare = rich
    bare.hasOutputGate = false
    bare.outputNormHasWeight = false
    bare.featureMap = .logsigmoid
    bare.keyValueHeadCount = 4
    var (mixed, richMixed) = (plain, rich)
    mixed.hasHeadMixing = true
    richMixed.hasHeadMixing = true
    func model(_ layers: [GLAConfiguration], tied: Bool) -> ModelConfiguration {
      ModelConfiguration(
        family: .gla, hiddenSize: 12, vocabularySize: 11, normEpsilon: 1e-6, tiesEmbeddings: tied,
        layers: layers.map { .gla($0) })
    }
    return [
      ("plain and merged", model([plain, merged], tied: false)),
      ("convolution, groups, clamp", model([rich], tied: true)),
      ("no gate, no weight", model([bare], tied: false)),
      ("head mixing", model([plain, mixed], tied: false)),
      ("head mixing, convolution, groups, clamp", model([richMixed], tied: true)),
    ] + mamba2Configurations()
  }

  static func mamba2Configurations() -> [(String, ModelConfiguration)] {
    let plain = Mamba2Configuration(hiddenSize: 12, headCount: 4, headDim: 6, stateSize: 3)
    var rich = Mamba2Configuration(
      hiddenSize: 12, headCount: 6, headDim: 2, stateSize: 3, groupCount: 3)
    rich.hasProjectionBias = true
    rich.convolutionSize = 3
    rich.timeStepLimit = 0.01...0.06
    var ungrouped = rich
    ungrouped.gatedNormSpan = .allChannels
    ungrouped.hasConvolutionBias = false
    ungrouped.convolutionSize = 1
    var expanded = plain
    expanded.stateSize *= 4
    func model(_ layers: [Mamba2Configuration], tied: Bool) -> ModelConfiguration {
      ModelConfiguration(
        family: .mamba2, hiddenSize: 12, vocabularySize: 11, normEpsilon: 1e-5,
        tiesEmbeddings: tied, layers: layers.map { .mamba2($0) }, base: .mamba2(layers[0]))
    }
    return [
      ("Mamba2, plain", model([plain], tied: true)),
      ("Mamba2, groups, biases, kernel 3, tight limit", model([rich], tied: false)),
      ("Mamba2, full-width norm, kernel 1, no convolution bias", model([ungrouped], tied: true)),
      ("Mamba2, an expanded layer", model([plain, expanded, plain], tied: false)),
    ]
  }

  @Test("every tensor's gradient, in segments of 3", arguments: configurations().indices)
  func gradients(index: Int) throws {
    let configuration = Self.configurations()[index].1
    let model = LanguageModel(configuration)
    let parameters = ParameterArena(
      scratch: configuration,
      initialization: ScratchInitialization(embeddingDeviation: 1, linearDeviation: 0.4), seed: 5)
    var random = CounterRandom(seed: 1, purpose: "perturb")
    for slot in model.layout.slots
    where slot.shape.count == 1 || slot.name.hasSuffix("head_mixing.weight") {
      for i in slot.range { parameters.buffer.pointer[i] += Float(0.3 * random.normal()) }
    }
    let sequences = (0..<2).map { _ in (0..<11).map { _ in Int32(random.below(11)) } }
    let batch = NextTokenBatch(sequences)
    let gradients = FloatBuffer(count: model.layout.count)
    let pass = SequencePass(model, batch: 2, length: 10, segmentLength: 3)
    let sum = try pass.gradient(
      of: batch, scale: 1 / 20, parameters: parameters.buffer.pointer,
      accumulatingInto: gradients.pointer)

    let reference = ReferenceModel(configuration)
    var values: [String: [Double]] = [:]
    for slot in model.layout.slots {
      values[slot.name] = parameters.elements(slot).map(Double.init)
    }
    func loss(_ values: [String: [Double]]) -> Double {
      reference.loss(
        values, inputs: batch.inputTokens, targets: batch.targetTokens,
        weights: Array(repeating: 1, count: 20), batch: 2)
    }
    #expect(abs(loss(values) - sum / 20) < 2e-6)
    for slot in model.layout.slots {
      var (worst, largest) = (0.0, 0.0)
      for _ in 0..<6 {
        let i = random.below(slot.count)
        var (up, down) = (values, values)
        up[slot.name]?[i] += 1e-4
        down[slot.name]?[i] -= 1e-4
        let difference = (loss(up) - loss(down)) / 2e-4
        worst = max(worst, abs(difference - Double(gradients.pointer[slot.offset + i])))
        largest = max(largest, abs(difference))
      }
      #expect(worst < 1e-6 + 2e-5 * largest, "\(slot.name): \(worst) of \(largest)")
    }
  }
}
