import Kernels
import LanguageModels
import Layers
import Optimizers
import StateExpansion
import TensorStorage
import Testing

/// `init: preserve`: the same function at first, and a larger state that training reaches.
@Suite("preserve", .serialized) struct PreservationTests {
  private let batch = 2
  private let length = 70
  private let vocabulary = 13

  init() { configureBLAS() }

  private static func gla() -> LayerConfiguration {
    var block = GLAConfiguration(
      hiddenSize: 16, headCount: 4, keyDim: 8, valueDim: 16, intermediateSize: 12)
    block.keyValueHeadCount = 2
    block.convolutionSize = 3
    block.featureMap = .sigmoid
    return .gla(block)
  }

  private static func mamba2() -> LayerConfiguration {
    var block = Mamba2Configuration(
      hiddenSize: 16, headCount: 4, headDim: 8, stateSize: 5, groupCount: 2)
    block.hasProjectionBias = true
    return .mamba2(block)
  }

  private static let cases: [(ModelFamily, LayerConfiguration, ExpansionSize)] = [
    (.gla, gla(), .heads(1)), (.mamba2, mamba2(), .stateFactor(3)),
  ]

  /// A model with weights large enough that every one matters, and the same expanded in layer 0.
  private func models(
    _ index: Int
  ) throws -> (
    before: (ModelConfiguration, ParameterArena), after: (ModelConfiguration, ParameterArena)
  ) {
    let (family, layer, size) = Self.cases[index]
    let configuration = ModelConfiguration(
      family: family, hiddenSize: 16, vocabularySize: vocabulary, normEpsilon: 1e-5,
      tiesEmbeddings: false, layers: [layer, layer])
    let arena = ParameterArena(
      scratch: configuration,
      initialization: ScratchInitialization(embeddingDeviation: 1, linearDeviation: 0.3), seed: 2)
    var random = CounterRandom(seed: 3, purpose: "perturb")
    for slot in arena.layout.slots where slot.shape.count == 1 {
      for i in slot.range { arena.buffer.pointer[i] += Float(0.2 * random.normal()) }
    }
    let plan = ExpansionPlan(layers: .list([0]), size: size, initialization: .preserve, seed: 5)
    return (
      (configuration, arena), try plan.apply(configuration: configuration, parameters: arena)
    )
  }

  /// Calls `body` with samples of random tokens.
  private func withSamples<Result>(_ body: (SequenceSamples) throws -> Result) rethrows -> Result {
    var random = CounterRandom(seed: 1, purpose: "tokens")
    let count = batch * length
    let tokens = (0..<(2 * count)).map { _ in Int32(random.below(vocabulary)) }
    let weights = [Float](repeating: 1, count: count)
    return try tokens.withUnsafeBufferPointer { tokens in
      try weights.withUnsafeBufferPointer { weights in
        guard let first = tokens.baseAddress, let weights = weights.baseAddress else {
          preconditionFailure("there are samples")
        }
        return try body(SequenceSamples(inputs: first, targets: first + count, weights: weights))
      }
    }
  }

  private func logits(_ model: (ModelConfiguration, ParameterArena)) -> [Float] {
    let network = LanguageModel(model.0)
    let pass = SequencePass(
      network, batch: batch, length: length, segmentLength: length, trains: false)
    let parameters = model.1.buffer.pointer
    _ = withSamples { pass.loss(of: $0, parameters: parameters) }
    let row = FloatBuffer(count: vocabulary)
    return (0..<(batch * length)).flatMap { index in
      network.logits(
        row: index, parameters: parameters, into: row.pointer, pass.activations, dims: pass.dims)
      return row.array()
    }
  }

  /// Sum of nats, and the gradient of their mean.
  private func gradient(
    _ model: (ModelConfiguration, ParameterArena), segment: Int = 32
  ) throws -> (loss: Double, gradients: FloatBuffer) {
    let network = LanguageModel(model.0)
    let pass = SequencePass(network, batch: batch, length: length, segmentLength: segment)
    let gradients = FloatBuffer(count: network.layout.count)
    let loss = try withSamples {
      try pass.gradient(
        of: $0, scale: 1 / Float(batch * length), parameters: model.1.buffer.pointer,
        accumulatingInto: gradients.pointer)
    }
    return (loss / Double(batch * length), gradients)
  }

  @Test("logits and the first step's loss stay the same", arguments: cases.indices)
  func function(index: Int) throws {
    let (before, after) = try models(index)
    #expect(after.0.layers[0].recurrentStateCount > before.0.layers[0].recurrentStateCount)
    let (old, new) = (logits(before), logits(after))
    let largest = old.map(abs).max() ?? 0
    #expect(largest > 0.5)
    for (a, b) in zip(old, new) { #expect(abs(a - b) <= 1e-5 * max(largest, 1)) }
    #expect(try abs(gradient(before).loss - gradient(after).loss) < 1e-6)
  }

  @Test("five steps without decay move every new parameter", arguments: cases.indices)
  func everyNewParameterLearns(index: Int) throws {
    let (_, model) = try models(index)
    let layout = model.1.layout
    let start = model.1.buffer.array()
    let optimizer = AdamW(
      AdamWConfiguration(
        beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, gradientClip: 1), layout: layout)
    let norm = GradientNorm(count: layout.count)
    for step in 1...5 {
      let gradients = try gradient(model).gradients
      optimizer.update(
        model.1.buffer, gradients: gradients, step: step, lr: 1e-2, gradientNorm: norm(gradients))
    }
    var checked = 0
    for slot in layout.slots {
      for row in newRows(slot, model.0) {
        let width = slot.count / slot.shape[0]
        for i in 0..<width {
          let element = slot.offset + row * width + i
          #expect(model.1.buffer.pointer[element] != start[element], "\(slot.name) [\(row), \(i)]")
          checked += 1
        }
      }
    }
    #expect(checked > 0)
  }

  /// The rows of a tensor that the expansion added.
  private func newRows(_ slot: ParameterSlot, _ model: ModelConfiguration) -> [Int] {
    guard let layer = model.layers[0].of(Mamba2Configuration.self) else {
      return slot.name.hasSuffix("0.attn.head_mixing.weight") ? Array(0..<slot.shape[0]) : []
    }
    guard slot.name.hasPrefix("backbone.layers.0.mixer.") else { return [] }
    let layout = layer.projection
    let parts: [Range<Int>]
    if slot.name.contains("in_proj") {
      parts = [layout.b, layout.c]
    } else if slot.name.contains("conv1d") {
      parts = [layout.bChannels, layout.cChannels]
    } else {
      return []
    }
    return parts.flatMap { part in
      part.filter { ($0 - part.lowerBound) % layer.stateSize >= 5 }
    }
  }

  @Test("a layer of one head has nothing to mix; a mixing layer is not expanded again")
  func limits() throws {
    let (before, after) = try models(0)
    let again = ExpansionPlan(layers: .list([0]), size: .heads(1))
    let error = #expect(throws: ExpansionError.self) {
      try again.configuration(expanding: after.0)
    }
    #expect(error?.description.contains("layer 0 was expanded by init: preserve") == true)
    let merged = try again.configuration(expanding: before.0)
    let plan = ExpansionPlan(layers: .list([0]), size: .heads(1), initialization: .preserve)
    #expect(try plan.configuration(expanding: merged) == merged)
  }
}
