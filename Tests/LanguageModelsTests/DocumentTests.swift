import Kernels
import LanguageModels
import TensorStorage
import Testing

/// Documents packed into one sequence against the same documents apart.
@Suite("documents in one sequence", .serialized)
struct DocumentTests {
  init() { configureBLAS() }

  /// Beginnings and the end: a document of one token, ones shorter than a convolution, ones that begin
  /// at a chunk's and at a segment's start and in the middle.
  static let bounds = [0, 1, 3, 40, 64, 65, 100, 131, 150]

  @Test(
    "losses and gradients are those of the documents apart",
    arguments: SmallModel.indices, [150, 50, 7])
  func apart(index: Int, segment: Int) throws {
    let small = SmallModel(index)
    let rows = SmallModel.tokens(2, 150)
    let packed = NextTokenBatch(rows, documents: Array(Self.bounds.dropLast()))
    let together = try small.run(
      packed,
      SequencePass(small.model, batch: 2, length: 150, segmentLength: segment))
    var apart = SmallModel.Result(
      loss: 0, gradient: [Float](repeating: 0, count: small.model.layout.count))
    for (first, last) in zip(Self.bounds, Self.bounds.dropFirst()) {
      let document = NextTokenBatch(rows.map { Array($0[first...last]) })
      let result = try small.run(
        document,
        SequencePass(
          small.model, batch: 2, length: last - first, segmentLength: last - first))
      apart.loss += result.loss
      apart.gradient = zip(apart.gradient, result.gradient).map(+)
    }
    #expect(abs(together.loss / apart.loss - 1) < 2e-6)
    for slot in small.model.layout.slots {
      let error = relativeDifference(
        Array(together.gradient[slot.range]), Array(apart.gradient[slot.range]))
      #expect(error < 2e-5, "\(slot.name): \(error)")
    }
  }

  @Test("nothing leaks into the next document", arguments: SmallModel.indices)
  func leaks(index: Int) {
    let small = SmallModel(index)
    func likelihoods(_ rows: [[Int32]], documents: [Int]?) -> [Float] {
      let batch = NextTokenBatch(rows, documents: documents)
      let pass = SequencePass(
        small.model, batch: 1, length: 100, segmentLength: 45, trains: false)
      var nll: [Float] = []
      _ = pass.loss(of: batch, parameters: small.parameters.buffer.pointer) {
        _, count, row in
        nll += (0..<count).map { row[$0] }
      }
      return nll
    }
    let row = SmallModel.tokens(1, 100)
    var changed = row
    for t in 60..<70 { changed[0][t] = (changed[0][t] + 1) % 11 }
    let (apart, after) = (
      likelihoods(row, documents: [0, 70]), likelihoods(changed, documents: [0, 70])
    )
    #expect(Array(apart[70...]) == Array(after[70...]))
    #expect(Array(apart[60..<70]) != Array(after[60..<70]))
    let (one, other) = (likelihoods(row, documents: nil), likelihoods(changed, documents: nil))
    #expect(Array(one[70...]) != Array(other[70...]), "without the reset it does leak")
  }
}
