import Kernels
import TensorStorage
import Testing

@Suite("bf16 weights")
struct BFloat16WeightsTests {
  /// A row times 70 rows of an arena of weights, which begin 16 numbers behind its start.
  private struct Case {
    let width: Int
    let arena: FloatBuffer
    let row: FloatBuffer
    let outputs = 70

    init(width: Int) {
      self.width = width
      arena = FloatBuffer(count: 16 + width * 70)
      row = FloatBuffer(count: width)
      var random = CounterRandom(seed: 1, purpose: "bf16 weights", index: UInt64(width))
      for i in 0..<arena.count { arena.pointer[i] = Float(random.uniform() - 0.5) }
      for i in 0..<width { row.pointer[i] = Float(random.uniform() - 0.5) }
    }

    var weights: Matrix { Matrix(arena.pointer + 16, outputs, width).transposed }

    func product(accumulating: Bool, _ a: Matrix? = nil) -> [Float] {
      let output = FloatBuffer(count: outputs)
      output.fill(2)
      let (a, c) = (a ?? Matrix(row.pointer, 1, width), Matrix(output.pointer, 1, outputs))
      if accumulating {
        matrixProduct(a, weights, accumulatingInto: c)
      } else {
        matrixProduct(a, weights, into: c)
      }
      return (0..<outputs).map { output.pointer[$0] }
    }
  }

  @Test(
    "a product of one row is that with rounded weights",
    arguments: [1, 2, 31, 32, 33, 64, 97, 1000], [false, true])
  func oneRow(width: Int, accumulating: Bool) {
    configureBLAS()
    let test = Case(width: width)
    let result = BFloat16Weights(test.arena).run { test.product(accumulating: accumulating) }
    for j in 0..<test.outputs {
      var (sum, magnitude) = (accumulating ? 2.0 : 0, 2.0)
      for k in 0..<width {
        let weight = Float(BFloat16(test.arena.pointer[16 + j * width + k]))
        let term = Double(weight) * Double(test.row.pointer[k])
        sum += term
        magnitude += abs(term)
      }
      // Sums of at most `width / 32 + 8` roundings in one chain.
      let bound = Double(width / 32 + 40) * magnitude * 0x1p-24
      #expect(abs(Double(result[j]) - sum) <= bound, "output \(j)")
    }
  }

  @Test("threads change no bit")
  func threads() {
    configureBLAS()
    let test = Case(width: 203)
    let weights = BFloat16Weights(test.arena)
    let one = weights.run { test.product(accumulating: false) }
    defer { ThreadPool.configure(threadCount: 1) }
    for count in [2, 3] {
      ThreadPool.configure(threadCount: count)
      #expect(weights.run { test.product(accumulating: false) } == one)
    }
  }

  @Test("other products are left as they are")
  func others() {
    configureBLAS()
    let test = Case(width: 64)
    let plain = test.product(accumulating: false)
    // Weights outside of the arena that was rounded.
    let other = FloatBuffer(count: 8)
    #expect(BFloat16Weights(other).run { test.product(accumulating: false) } == plain)
    let rounded = BFloat16Weights(test.arena).run { test.product(accumulating: false) }
    #expect(rounded != plain)
    #expect(test.product(accumulating: false) == plain, "after it")
  }
}
