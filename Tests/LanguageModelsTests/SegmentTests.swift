import Files
import Foundation
import Kernels
import LanguageModels
import Layers
import TensorStorage
import Testing

/// A model of every kind with parameters that all matter, and samples for it.
struct SmallModel {
  let model: LanguageModel
  let parameters: ParameterArena

  init(_ index: Int) {
    let configuration = ReferenceModelTests.configurations()[index].1
    model = LanguageModel(configuration)
    parameters = ParameterArena(
      scratch: configuration,
      initialization: ScratchInitialization(embeddingDeviation: 1, linearDeviation: 0.4), seed: 5)
    var random = CounterRandom(seed: 1, purpose: "perturb")
    for slot in model.layout.slots
    where slot.shape.count == 1 || slot.name.hasSuffix("head_mixing.weight") {
      for i in slot.range { parameters.buffer.pointer[i] += Float(0.3 * random.normal()) }
    }
  }

  static let indices = Array(ReferenceModelTests.configurations().indices)

  /// Rows of random tokens, one more than `length` each.
  static func tokens(_ rows: Int, _ length: Int, seed: UInt64 = 3) -> [[Int32]] {
    var random = CounterRandom(seed: seed, purpose: "tokens")
    return (0..<rows).map { _ in (0...length).map { _ in Int32(random.below(11)) } }
  }

  /// What a pass finds: the loss's sum and the gradient of the loss's sum.
  struct Result: Equatable {
    var loss: Double
    var gradient: [Float]
  }

  func run(
    _ batch: NextTokenBatch, _ pass: SequencePass, state: FloatBuffer? = nil
  ) throws -> Result {
    let gradients = FloatBuffer(count: model.layout.count)
    let loss = try pass.gradient(
      of: batch, scale: 1, parameters: parameters.buffer.pointer,
      accumulatingInto: gradients.pointer, stateInPlace: state?.pointer)
    return Result(loss: loss, gradient: gradients.array())
  }
}

/// Sequences in segments: how states are kept, handed on and cut.
@Suite("segments", .serialized)
struct SegmentTests {
  init() { configureBLAS() }

  @Test("kept, thinned and spilled states give the same bits", arguments: [0, 1, 7])
  func storages(index: Int) throws {
    let small = SmallModel(index)
    let batch = NextTokenBatch(SmallModel.tokens(2, 50))
    func result(_ storage: SegmentStateStorage) throws -> SmallModel.Result {
      let pass = SequencePass(
        small.model, batch: 2, length: 50, segmentLength: 6, storage: storage)
      let first = try small.run(batch, pass)
      #expect(try small.run(batch, pass) == first, "a pass can be used again")
      return first
    }
    let whole = try result(.memory)
    for n in [2, 3, 4, 9, 20] {
      #expect(try result(.thinned(every: n)) == whole, "thinned, every \(n)")
    }
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("segment-states-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    #expect(try result(.spilled(directory: directory.path)) == whole)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == [])
    #expect(throws: FileError.self) { try result(.spilled(directory: "/nowhere/at/all")) }
  }

  @Test(
    "a pass is given up before any segment, and the next one is whole", arguments: [0, 1],
    [false, true])
  func givingUp(index: Int, truncates: Bool) throws {
    let small = SmallModel(index)
    let batch = NextTokenBatch(SmallModel.tokens(2, 50))
    let pass = SequencePass(
      small.model, batch: 2, length: 50, segmentLength: 6, storage: .thinned(every: 3),
      truncates: truncates)
    let whole = try small.run(batch, pass)
    var (asked, patience) = (0, Int.max)
    pass.givesUp = {
      asked += 1
      return asked > patience
    }
    #expect(try small.run(batch, pass) == whole && !pass.isGivenUp)
    let segments = asked
    #expect(segments == (truncates ? 9 : 9 + 8 + 6))
    for stop in 0..<segments {
      (asked, patience) = (0, stop)
      let state = FloatBuffer(count: small.model.stateCount(batch: 2))
      #expect(try small.run(batch, pass, state: state).loss.isNaN && pass.isGivenUp)
      #expect(asked == stop + 1, "nobody is asked twice")
    }
    (asked, patience) = (0, 3)
    #expect(pass.loss(of: batch, parameters: small.parameters.buffer.pointer).isNaN)
    #expect(asked == 4)
    patience = .max
    #expect(try small.run(batch, pass) == whole && !pass.isGivenUp)
  }

  @Test("how many states are in memory")
  func counts() {
    #expect(SegmentStateStorage.memory.statesInMemory(segments: 9) == 9)
    #expect(SegmentStateStorage.spilled(directory: "").statesInMemory(segments: 9) == 1)
    #expect(SegmentStateStorage.thinned(every: 3).statesInMemory(segments: 9) == 5)
    #expect(SegmentStateStorage.thinned(every: 4).statesInMemory(segments: 9) == 6)
    #expect(SegmentStateStorage.thinned(every: 4).recomputedSegments(9) == 6)
    #expect(SegmentStateStorage.thinning(segments: 100, states: 51) == 2)
    #expect(SegmentStateStorage.thinning(segments: 100, states: 19) == 10)
    #expect(SegmentStateStorage.thinning(segments: 100, states: 18) == nil)
    #expect(SegmentStateStorage.thinning(segments: 1, states: 0) == nil)
    for segments in 1...70 {
      let kept = (1...segments).map {
        SegmentStateStorage.thinned(every: $0).statesInMemory(segments: segments)
      }
      #expect(SegmentStateStorage.leastStates(segments: segments) == kept.min())
      for states in 0...segments {
        #expect(
          SegmentStateStorage.thinning(segments: segments, states: states)
            == kept.indices.dropFirst().first { kept[$0] <= states }.map { $0 + 1 })
      }
    }
    // As many as a recipe can have, without a look at each.
    #expect(SegmentStateStorage.thinning(segments: 1 << 30, states: 65_535) == 32_768)
    #expect(SegmentStateStorage.leastStates(segments: 1 << 30) == 65_535)
  }

  @Test("a carried state goes on where it stopped", arguments: SmallModel.indices)
  func carried(index: Int) throws {
    let small = SmallModel(index)
    let rows = SmallModel.tokens(2, 24)
    let whole = SequencePass(small.model, batch: 2, length: 24, segmentLength: 24)
    let expected = whole.loss(
      of: NextTokenBatch(rows), parameters: small.parameters.buffer.pointer)
    let state = FloatBuffer(count: small.model.stateCount(batch: 2))
    let part = SequencePass(small.model, batch: 2, length: 8, segmentLength: 5)
    var sum = 0.0
    for first in [0, 8, 16] {
      let piece = NextTokenBatch(rows.map { Array($0[first...(first + 8)]) })
      sum += try small.run(piece, part, state: state).loss
    }
    #expect(abs(sum / expected - 1) < 2e-6)
  }

  @Test(
    "truncated gradients are those of pieces that begin with a constant state",
    arguments: SmallModel.indices)
  func truncated(index: Int) throws {
    let small = SmallModel(index)
    let rows = SmallModel.tokens(2, 22)
    let truncated = try small.run(
      NextTokenBatch(rows),
      SequencePass(small.model, batch: 2, length: 22, segmentLength: 8, truncates: true))
    let whole = try small.run(
      NextTokenBatch(rows), SequencePass(small.model, batch: 2, length: 22, segmentLength: 8))
    let state = FloatBuffer(count: small.model.stateCount(batch: 2))
    var pieces = SmallModel.Result(
      loss: 0, gradient: [Float](repeating: 0, count: small.model.layout.count))
    for (first, last) in [(0, 8), (8, 16), (16, 22)] {
      let piece = NextTokenBatch(rows.map { Array($0[first...last]) })
      let pass = SequencePass(
        small.model, batch: 2, length: last - first, segmentLength: last - first)
      let result = try small.run(piece, pass, state: state)
      pieces.loss += result.loss
      pieces.gradient = zip(pieces.gradient, result.gradient).map(+)
    }
    #expect(abs(truncated.loss / pieces.loss - 1) < 1e-12)
    #expect(abs(truncated.loss / whole.loss - 1) < 1e-12)
    #expect(relativeDifference(truncated.gradient, pieces.gradient) < 1e-6)
    #expect(relativeDifference(truncated.gradient, whole.gradient) > 1e-3)
  }
}
