import Kernels
import LanguageModels
import Layers
import TensorStorage
import Testing

/// Training some blocks only: the gradients that are left are those of the whole model.
@Suite("frozen parameters", .serialized)
struct FrozenParametersTests {
  init() { configureBLAS() }

  /// Every option of both families, between two blocks that can be frozen.
  private static func deep(_ index: Int) -> ModelConfiguration {
    var configuration = ReferenceModelTests.configurations()[index].1
    let layers = configuration.layers
    configuration.layers = [layers[0]] + layers + [layers[layers.count - 1]]
    return configuration
  }

  private func gradients(
    _ model: LanguageModel, _ parameters: ParameterArena, segment: Int, blocks: inout [Int]
  ) throws -> (sum: Double, values: [Float]) {
    var random = CounterRandom(seed: 1, purpose: "tokens")
    let sequences = (0..<2).map { _ in (0..<11).map { _ in Int32(random.below(11)) } }
    let batch = NextTokenBatch(sequences)
    let pass = SequencePass(
      model, batch: 2, length: 10, segmentLength: abs(segment), truncates: segment < 0)
    var seen: [Int] = []
    pass.blockIsFinal = { block, _ in seen.append(block) }
    let count = model.layout.trainableCount
    let buffer = FloatBuffer(count: count + 1024)
    for i in count..<(count + 1024) { buffer.pointer[i] = 12345.5 }
    let sum = try pass.gradient(
      of: batch, scale: 1 / 20, parameters: parameters.buffer.pointer,
      accumulatingInto: buffer.pointer)
    for i in count..<(count + 1024) { #expect(buffer.pointer[i] == 12345.5, "no gradient memory") }
    blocks = seen
    return (sum, buffer.array())
  }

  @Test(
    "gradients of trained blocks have the bits of a whole backward pass",
    arguments: ReferenceModelTests.configurations().indices, [3, 10, -3])
  /// A negative segment length truncates gradients.
  func bits(_ index: Int, _ segment: Int) throws {
    let configuration = Self.deep(index)
    let count = configuration.layers.count
    let whole = LanguageModel(configuration)
    let initialization = ScratchInitialization(embeddingDeviation: 1, linearDeviation: 0.4)
    let start = ParameterArena(scratch: configuration, initialization: initialization, seed: 5)
    var order: [Int] = []
    let all = try gradients(whole, start, segment: segment, blocks: &order)
    #expect(order == Array((0..<count).reversed()), "once each, last first")
    for blocks in [[0], [count - 1], [1, count - 1], [0, 2]] as [Set<Int>] {
      let model = LanguageModel(configuration, trainable: .blocks(blocks))
      #expect(model.layout.trainableCount < whole.layout.count)
      let parameters = ParameterArena(
        scratch: configuration, initialization: initialization, seed: 5, layout: model.layout)
      let part = try gradients(model, parameters, segment: segment, blocks: &order)
      #expect(order == Array(((blocks.min() ?? 0)..<count).reversed()), "nothing below")
      #expect(part.sum == all.sum)
      for slot in model.layout.trainableSlots {
        let wanted = whole.layout[slot.name].map { Array(all.values[$0.range]) }
        #expect(Array(part.values[slot.range]) == wanted, "\(slot.name)")
      }
      let names = model.layout.trainableSlots.map(\.name)
      #expect(
        names.allSatisfy { name in
          blocks.contains { name.hasPrefix(configuration.family.layerPrefix($0)) }
        })
      #expect(Set(names).count == names.count && model.layout.holdsTheSame(as: whole.layout))
    }
  }

  @Test("what is final after a block is what lies behind it, frozen blocks left out")
  func finalGradients() {
    let configuration = Self.deep(0)
    let model = LanguageModel(configuration, trainable: .blocks([1, 3]))
    #expect(
      model.finalGradients(afterBlock: 0) == nil && model.finalGradients(afterBlock: 2) == nil)
    #expect(model.finalGradients(afterBlock: 1) == 0)
    let last = model.layout.trainableSlots.first { $0.name.contains(".layers.3.") }
    #expect(model.finalGradients(afterBlock: 3) == last?.offset)
    let whole = LanguageModel(configuration)
    #expect(whole.finalGradients(afterBlock: 0) == whole.layout.slots[1].offset)
    #expect(model.trainingFLOPsPerToken < whole.trainingFLOPsPerToken)
    #expect(whole.trainingFLOPsPerToken == 3 * whole.forwardFLOPsPerToken)
  }
}
