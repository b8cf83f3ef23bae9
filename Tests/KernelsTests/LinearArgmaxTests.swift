import Kernels
import TensorStorage
import Testing

@Suite("Linear argmax")
struct LinearArgmaxTests {
  /// The same in plain loops and `Double`.
  private func reference(
    _ hidden: [Float], _ weight: [Float], _ weights: [Float], width: Int
  ) -> [Int32] {
    weights.indices.map { row in
      guard weights[row] != 0 else { return -1 }
      let logits = stride(from: 0, to: weight.count, by: width).map { first in
        (0..<width).reduce(0.0) {
          $0 + Double(hidden[row * width + $1]) * Double(weight[first + $1])
        }
      }
      return Int32(logits.indices.max { logits[$0] < logits[$1] } ?? -1)
    }
  }

  private func predictions(
    _ hidden: [Float], _ weight: [Float], _ weights: [Float], width: Int
  ) -> [Int32] {
    let dims = LinearCrossEntropyDims(
      rows: weights.count, width: width, vocabulary: weight.count / width)
    let (x, w) = (Guarded(hidden), Guarded(weight))
    let scratch = Guarded(dims.scratchCount)
    var result = [Int32](repeating: 77, count: weights.count + 1)
    result.withUnsafeMutableBufferPointer { result in
      guard let base = result.baseAddress else { return }
      weights.withUnsafeBufferPointer { weights in
        guard let counting = weights.baseAddress else { return }
        linearArgmax(
          x.pointer, weight: w.pointer, counting: counting, into: base, scratch: scratch.pointer,
          dims: dims)
      }
    }
    #expect(scratch.isIntact && result.last == 77)
    return result.dropLast()
  }

  @Test(
    "agrees with plain loops", arguments: [(1, 3, 2), (37, 17, 23), (700, 5, 101), (513, 16, 64)])
  func agreesWithLoops(rows: Int, width: Int, vocabulary: Int) {
    let hidden = normals(rows * width, "hidden")
    let weight = normals(vocabulary * width, "weight")
    for every in [1, 3] {
      let weights = (0..<rows).map { Float($0 % every == 0 ? 1 : 0) }
      #expect(
        predictions(hidden, weight, weights, width: width)
          == reference(hidden, weight, weights, width: width))
    }
  }

  @Test("NaN is found wherever it stands", arguments: [0, 3, 15, 16, 31, 32, 39])
  func nanAnywhere(place: Int) {
    var logits = normals(40, "logits")
    logits[place] = .nan
    #expect(argmax(logits, count: 40) == nil)
  }

  @Test("of equal logits the first wins, and NaN is no token")
  func tiesAndNaN() {
    let hidden: [Float] = [1, 0, .nan, 0, 0, 0]
    let weight: [Float] = [0, 1, 2, 0, 2, 5]
    #expect(predictions(hidden, weight, [1, 1, 1], width: 2) == [1, -1, 0])
  }
}
