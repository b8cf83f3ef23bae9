import Foundation
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

  /// How a pass runs.
  struct Shape {
    var parts: Int
    var segment: Int
    var storage = SegmentStateStorage.memory
    var truncates = false
  }

  /// What all parts find together.
  struct Outcome {
    var loss: Double
    var gradients: ParameterArena
    /// Floats of every gather.
    var gathers: [Int]
    /// The states that the parts carry on.
    var states: [[Float]]
  }

  private func run(
    _ model: LanguageModel, _ parameters: FloatBuffer, _ batch: NextTokenBatch, _ shape: Shape,
    scale: Float = 1, state: [Float]? = nil
  ) -> Outcome {
    let (results, gathers) = ThreadedParts.run(shape.parts) { _, group in
      let pass = SequencePass(
        model, batch: batch.batch, length: batch.length, segmentLength: shape.segment,
        storage: shape.storage, truncates: shape.truncates,
        group: group)
      let gradients = FloatBuffer(count: model.layout.count)
      let carried = FloatBuffer(count: state?.count ?? 0)
      for (i, value) in (state ?? []).enumerated() { carried.pointer[i] = value }
      let sum = try? pass.gradient(
        of: batch, scale: scale, parameters: parameters.pointer,
        accumulatingInto: gradients.pointer, stateInPlace: state == nil ? nil : carried.pointer)
      return (sum: sum ?? .nan, gradients: gradients, state: carried.array())
    }
    let total = ParameterArena(layout: model.layout)
    for result in results {
      withExtendedLifetime(result.gradients) {
        add(
          result.gradients.pointer, count: model.layout.count,
          accumulatingInto: total.buffer.pointer)
      }
    }
    return Outcome(
      loss: results.reduce(0) { $0 + $1.sum }, gradients: total, gathers: gathers,
      states: results.map(\.state))
  }

  private func expectEqual(
    _ outcome: Outcome, _ expected: SmallModel.Result, _ layout: ParameterLayout, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(
      abs(outcome.loss / expected.loss - 1) < 1e-6, "\(what)", sourceLocation: sourceLocation)
    for slot in layout.slots {
      let error = relativeDifference(
        Array(outcome.gradients.elements(slot)), Array(expected.gradient[slot.range]))
      #expect(error < 2e-5, "\(slot.name), \(what): \(error)", sourceLocation: sourceLocation)
    }
  }

  static let runs = ReferenceFixture.names.flatMap { name in
    [(2, 7), (3, 64), (4, 20)].map { (name, $0.0, $0.1) }
  }

  @Test("loss and every gradient are PyTorch's", arguments: runs)
  func parity(name: String, parts: Int, segment: Int) throws {
    let fixture = try ReferenceFixture(name)
    let model = LanguageModel(fixture.configuration)
    let batch = NextTokenBatch(fixture.reference.tokens)
    let count = Double(batch.batch * batch.length)
    let outcome = run(
      model, fixture.parameters.buffer, batch, Shape(parts: parts, segment: segment),
      scale: Float(1 / count))
    #expect(abs(outcome.loss / count - fixture.reference.loss) < 1e-5)
    for slot in model.layout.slots {
      let wanted = try #require(fixture.tensor(slot.name), "no reference gradient of \(slot.name)")
      let error = relativeDifference(Array(outcome.gradients.elements(slot)), wanted)
      #expect(error < 1e-4, "\(slot.name): \(error)")
    }
    let norm = GradientNorm(count: model.layout.count)(outcome.gradients.buffer)
    #expect(abs(norm / fixture.reference.gradientNorm - 1) < 1e-5)
  }

  @Test("loss and gradients are those of one rank", arguments: SmallModel.indices)
  func sameAsOne(index: Int) throws {
    let small = SmallModel(index)
    let batch = NextTokenBatch(SmallModel.tokens(2, 95))
    let expected = try small.run(
      batch, SequencePass(small.model, batch: 2, length: 95, segmentLength: 95))
    // 95 tokens in segments of 2 x 20, 2 x 64, 3 x 10 (the last of 5) and 4 x 3 (the last of 11).
    for (parts, segment) in [(2, 20), (2, 64), (3, 10), (4, 3)] {
      let outcome = run(
        small.model, small.parameters.buffer, batch, Shape(parts: parts, segment: segment))
      expectEqual(outcome, expected, small.model.layout, "\(parts) parts of \(segment)")
      let segments = (95 + parts * segment - 1) / (parts * segment)
      let share = small.model.shareCount(batch: 2, parts: parts)
      // Three and more states at segment starts are divided, and gathered for each segment.
      let part = segments > 2 ? (small.model.stateCount(batch: 2) + parts - 1) / parts : 0
      #expect(outcome.gathers.reduce(0, +) == share * (3 * segments - 1) + part * segments)
    }
  }

  @Test("documents end at any place of a part", arguments: SmallModel.indices)
  func documents(index: Int) throws {
    let small = SmallModel(index)
    let batch = NextTokenBatch(
      SmallModel.tokens(2, 150), documents: [0, 1, 3, 40, 64, 65, 75, 100, 131])
    let expected = try small.run(
      batch, SequencePass(small.model, batch: 2, length: 150, segmentLength: 150))
    for (parts, segment) in [(2, 75), (2, 64), (3, 7), (4, 2)] {
      let outcome = run(
        small.model, small.parameters.buffer, batch, Shape(parts: parts, segment: segment))
      expectEqual(outcome, expected, small.model.layout, "\(parts) parts of \(segment)")
    }
  }

  @Test("thinned and spilled states give the same bits", arguments: [0, 1, 7], [2, 3])
  func stored(index: Int, parts: Int) {
    let small = SmallModel(index)
    let batch = NextTokenBatch(SmallModel.tokens(2, 50))
    let storages = [
      SegmentStateStorage.memory, .thinned(every: 3), .spilled(directory: NSTemporaryDirectory()),
    ]
    let outcomes = storages.map { storage in
      run(
        small.model, small.parameters.buffer, batch,
        Shape(parts: parts, segment: 3, storage: storage))
    }
    for outcome in outcomes.dropFirst() {
      let isSame = outcome.gradients.buffer.array() == outcomes[0].gradients.buffer.array()
      #expect(isSame)
      #expect(outcome.loss == outcomes[0].loss)
    }
  }

  @Test("a rank keeps its part of the states, and a place to gather one")
  func memoryOfParts() {
    func floats(_ parts: Int, _ segments: Int, _ storage: SegmentStateStorage) -> Int {
      SegmentStateSizes(segments: segments, stateCount: 100, parts: parts).memory(storage)
    }
    #expect(floats(1, 9, .memory) == 900)
    #expect(floats(3, 9, .memory) == 9 * 34 + 3 * 34)
    #expect(floats(3, 2, .memory) == 200)
    #expect(floats(4, 9, .thinned(every: 3)) == 5 * 25 + 100)
    #expect(floats(4, 9, .spilled(directory: "/tmp")) == 25 + 100)
  }

  @Test(
    "carried states and truncated gradients are those of one rank", arguments: SmallModel.indices)
  func carried(index: Int) throws {
    let small = SmallModel(index)
    let batch = NextTokenBatch(SmallModel.tokens(2, 60))
    var random = CounterRandom(seed: 2, purpose: "state")
    let start = (0..<small.model.stateCount(batch: 2)).map { _ in Float(random.normal()) }
    for truncates in [false, true] {
      let state = FloatBuffer(count: start.count)
      for (i, value) in start.enumerated() { state.pointer[i] = value }
      let expected = try small.run(
        batch,
        SequencePass(small.model, batch: 2, length: 60, segmentLength: 24, truncates: truncates),
        state: state)
      let outcome = run(
        small.model, small.parameters.buffer, batch,
        Shape(parts: 3, segment: 8, truncates: truncates), state: start)
      expectEqual(outcome, expected, small.model.layout, "truncated: \(truncates)")
      for own in outcome.states {
        #expect(own == outcome.states[0], "every part carries the same state")
        #expect(relativeDifference(own, state.array()) < 5e-6)
      }
    }
  }

  @Test("the last segment must have a token for every part")
  func plans() {
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
