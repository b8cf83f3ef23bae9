import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// The fused head and loss, against softmax in `Double`.
@Suite("linear cross-entropy", .serialized)
struct LinearCrossEntropyTests {
  /// Rows, width, vocabulary; more rows than one block of logits holds in the last.
  static let shapes = [[1, 1, 2], [63, 65, 100], [65, 100, 63], [100, 17, 1], [700, 8, 33]]

  @Test("loss, token losses and gradients; rows of weight zero cost nothing", arguments: shapes)
  func agrees(_ shape: [Int]) {
    let (rows, width, vocabulary) = (shape[0], shape[1], shape[2])
    let dims = LinearCrossEntropyDims(rows: rows, width: width, vocabulary: vocabulary)
    let (h, w) = (normals(rows * width, "h"), normals(vocabulary * width, "w"))
    let before = normals(vocabulary * width, "dw")
    var random = CounterRandom(seed: 4, purpose: "targets")
    let targets = (0..<rows).map { _ in Int32(random.below(vocabulary)) }
    let weights = (0..<rows).map { Float($0 % 3 == 1 ? 0 : $0 % 3 == 2 ? 0.5 : 1) }
    let scale: Float = 0.125
    let results = onAnyThreads {
      let (gh, gw, nll) = (Guarded(h), Guarded(w), Guarded(rows))
      let (dh, dw, scratch) = (
        Guarded(rows * width), Guarded(before), Guarded(dims.scratchCount)
      )
      func run(_ gradients: LinearCrossEntropyGradients?) -> Double {
        targets.withUnsafeBufferPointer { t in
          weights.withUnsafeBufferPointer { v in
            guard let t = t.baseAddress, let v = v.baseAddress else { return .nan }
            return linearCrossEntropy(
              gh.pointer, weight: gw.pointer,
              against: CrossEntropyTargets(targets: t, weights: v, scale: scale),
              nll: nll.pointer, gradients: gradients, scratch: scratch.pointer, dims: dims)
          }
        }
      }
      let only = run(nil)
      let sum = run(LinearCrossEntropyGradients(dhidden: dh.pointer, dweight: dw.pointer))
      #expect(only == sum, "the loss does not depend on whether gradients are wanted")
      // Over the hidden rows themselves.
      let other = Guarded(before)
      let inPlace = run(LinearCrossEntropyGradients(dhidden: gh.pointer, dweight: other.pointer))
      #expect(inPlace == sum && gh.values == dh.values && other.values == dw.values)
      expectIntact(gh, gw, nll, dh, dw, scratch, other)
      return [nll.values, dh.values, dw.values, [Float(sum)]]
    }
    func losses(_ h: [Double], _ w: [Double]) -> [Double] {
      let logits = linear(h, w, columns: width)
      return (0..<rows).map { row in
        guard weights[row] != 0 else { return 0 }
        return crossEntropy(
          logits[(row * vocabulary)..<((row + 1) * vocabulary)], target: Int(targets[row]))
      }
    }
    let (h64, w64) = (h.doubles, w.doubles)
    let expected = losses(h64, w64)
    #expect(relativeError(results[0], expected) < 2e-6)
    #expect(relativeError(results[3], [inner(expected, weights.doubles)]) < 2e-6)
    for row in 0..<rows where weights[row] == 0 {
      #expect(results[0][row] == 0)
      #expect(results[1][(row * width)..<((row + 1) * width)].allSatisfy { $0 == 0 })
    }
    func loss(_ h: [Double], _ w: [Double]) -> Double {
      Double(scale) * inner(losses(h, w), weights.doubles) + inner(before.doubles, w)
    }
    expectGradient("dhidden", results[1], at: h64) { loss($0, w64) }
    expectGradient("dweight", results[2], at: w64) { loss(h64, $0) }
  }

  @Test("logits of hundreds do not overflow; NaN is not lost", arguments: [false, true])
  func extremes(_ isNaN: Bool) {
    let (rows, vocabulary) = (1, 40)
    let dims = LinearCrossEntropyDims(rows: rows, width: 1, vocabulary: vocabulary)
    let h = Guarded([isNaN ? .nan : 1])
    let w = Guarded((0..<vocabulary).map { Float($0) * 20 - 400 })
    let (nll, scratch) = (Guarded(rows), Guarded(dims.scratchCount))
    let (target, weight): ([Int32], [Float]) = ([0], [1])
    let sum = target.withUnsafeBufferPointer { t in
      weight.withUnsafeBufferPointer { v -> Double in
        guard let t = t.baseAddress, let v = v.baseAddress else { return .nan }
        return linearCrossEntropy(
          h.pointer, weight: w.pointer,
          against: CrossEntropyTargets(targets: t, weights: v, scale: 1), nll: nll.pointer,
          gradients: nil, scratch: scratch.pointer, dims: dims)
      }
    }
    #expect(isNaN ? sum.isNaN : abs(sum - 780) < 1e-3)
  }
}
