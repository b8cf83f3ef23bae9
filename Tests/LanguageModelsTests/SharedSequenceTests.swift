import Kernels
import LanguageModels
import Layers
import Optimizers
import TensorStorage
import Testing
import ThreadedParts

/// Sequences whose segments are shared by several parts, each on a thread.
@Suite("shared sequences", .serialized)
struct SharedSequenceTests {
  init() { configureBLAS() }

  /// The sum of losses and gradients over all parts.
  private func gradient(
    _ model: LanguageModel, _ batch: NextTokenBatch, segment: Int, parts: Int,
    parameters: FloatBuffer
  ) -> (sum: Double, gradients: ParameterArena, gathers: [Int]) {
    let count = Double(batch.batch * batch.length)
    let (results, gathers) = ThreadedParts.run(parts) { part, exchange in
      let pass = SequencePass(
        model, batch: batch.batch, length: batch.length, segmentLength: segment,
        sharing: SequenceSharing(parts: parts, part: part, exchange: exchange))
      let gradients = FloatBuffer(count: model.layout.count)
      let sum = pass.gradient(
        of: batch.samples, scale: Float(1 / count), parameters: parameters.pointer,
        accumulatingInto: gradients.pointer)
      return (sum, gradients)
    }
    let total = ParameterArena(layout: model.layout)
    for (_, gradients) in results {
      add(gradients.pointer, count: model.layout.count, accumulatingInto: total.buffer.pointer)
    }
    return (results.reduce(0) { $0 + $1.0 }, total, gathers)
  }

  static let runs = ReferenceFixture.names.flatMap { name in
    [(2, 7), (3, 64), (4, 20)].map { (name, $0.0, $0.1) }
  }

  @Test("loss and every gradient are PyTorch's", arguments: runs)
  func parity(name: String, parts: Int, segment: Int) throws {
    let fixture = try ReferenceFixture(name)
    let model = LanguageModel(fixture.configuration)
    let batch = NextTokenBatch(fixture.reference.tokens)
    let result = gradient(
      model, batch, segment: segment, parts: parts, parameters: fixture.parameters.buffer)
    let count = Double(batch.batch * batch.length)
    #expect(abs(result.sum / count - fixture.reference.loss) < 1e-5)
    for slot in model.layout.slots {
      let wanted = try #require(fixture.tensor(slot.name), "no reference gradient of \(slot.name)")
      let error = relativeDifference(Array(result.gradients.elements(slot)), wanted)
      #expect(error < 1e-4, "\(slot.name): \(error)")
    }
    let norm = GradientNorm(count: model.layout.count)(result.gradients.buffer)
    #expect(abs(norm / fixture.reference.gradientNorm - 1) < 1e-5)
  }

  @Test(
    "loss and gradients are those of one rank",
    arguments: ReferenceModelTests.configurations().indices)
  func sameAsOne(index: Int) {
    let configuration = ReferenceModelTests.configurations()[index].1
    let model = LanguageModel(configuration)
    let parameters = ParameterArena(
      scratch: configuration,
      initialization: ScratchInitialization(embeddingDeviation: 1, linearDeviation: 0.4), seed: 5)
    var random = CounterRandom(seed: 1, purpose: "tokens")
    let batch = NextTokenBatch((0..<2).map { _ in (0..<96).map { _ in Int32(random.below(11)) } })
    let count = Double(batch.batch * batch.length)
    let pass = SequencePass(model, batch: 2, length: 95, segmentLength: 95)
    let whole = ParameterArena(layout: model.layout)
    let expected = pass.gradient(
      of: batch.samples, scale: Float(1 / count), parameters: parameters.buffer.pointer,
      accumulatingInto: whole.buffer.pointer)
    // 95 tokens in segments of 2 x 20, 2 x 64, 3 x 10 (the last of 5) and 4 x 3 (the last of 11).
    for (parts, segment) in [(2, 20), (2, 64), (3, 10), (4, 3)] {
      let result = gradient(
        model, batch, segment: segment, parts: parts, parameters: parameters.buffer)
      #expect(abs(result.sum - expected) < 1e-6 * expected, "\(parts) parts")
      for slot in model.layout.slots {
        let error = relativeDifference(
          Array(result.gradients.elements(slot)), Array(whole.elements(slot)))
        #expect(error < 2e-5, "\(slot.name) in \(parts) parts: \(error)")
      }
      let segments = (95 + parts * segment - 1) / (parts * segment)
      let share = model.shareCount(batch: 2, parts: parts)
      #expect(result.gathers.reduce(0, +) == share * (3 * segments - 1))
    }
  }

  @Test("the last segment must have a token for every part")
  func shortEnd() {
    for (length, segment, parts, fits) in [
      (64, 64, 4, true), (65, 32, 2, false), (66, 32, 2, true), (3, 8, 4, false), (4, 8, 4, true),
      (5, 5, 1, true), (11, 5, 1, true), (95, 10, 3, true), (92, 10, 3, false),
    ] {
      let plan = SegmentPlan(length: length, segmentLength: segment, parts: parts)
      #expect(plan.isPossible == fits, "\(length) tokens, \(parts) x \(segment)")
      guard fits else { continue }
      let tokens = (0..<plan.segmentCount).flatMap { segment in
        (0..<parts).flatMap { Array(plan.range(segment, part: $0)) }
      }
      #expect(tokens == Array(0..<length))
      #expect(plan.largestPart <= segment)
    }
  }
}
