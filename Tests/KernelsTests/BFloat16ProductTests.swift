import Foundation
import Kernels
import TensorStorage
import Testing

/// Products of operands rounded to bf16, by every back end that this processor has.
@Suite("bf16 products", .serialized)
struct BFloat16ProductTests {
  /// Shapes `[M, K, N]`; the last are cut into several tiles, whole ones and rests.
  static let shapes = [
    [1, 1, 1], [63, 65, 100], [65, 1, 63], [1, 100, 65], [100, 63, 1], [300, 17, 290],
    [1100, 33, 130],
  ]
  /// Those that run anywhere; `BFloat16ProductTests.native` runs the rest.
  static let everywhere = [BFloat16BackEnd.portable, .oneDNNWidened]

  private func rounded(_ x: [Float]) -> [Double] {
    x.map { Double(Float(BFloat16($0))) }
  }

  /// Both stores, all transpositions, weights from the mirror and operands converted now, on one, two
  /// and three threads.
  private func check(_ backEnd: BFloat16BackEnd, _ shape: [Int]) {
    let (m, k, n) = (shape[0], shape[1], shape[2])
    let (a, b, before) = (normals(m * k, "a"), normals(k * n, "b"), normals(m * n, "c"))
    let expected = naiveProduct(rounded(a), rounded(b), shape)
    let added = zip(expected, before.doubles).map(+)
    for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
      for isWeight in [false, true] {
        let results = onAnyThreads {
          let ga = Guarded(stored(a, m, k, transposed: ta))
          let arena = FloatBuffer(count: 16 + k * n + 5)
          _ = arena.elements[16...].update(
            fromContentsOf: stored(b, k, n, transposed: tb) + [.nan, .nan, .nan, .nan, .nan])
          let products = BFloat16Products(
            backEnd, parameters: isWeight ? arena : FloatBuffer(count: 16), operandCount: 0)
          products.convertWeights()
          let right = arena.pointer + 16
          let x = ta ? Matrix(ga.pointer, k, m).transposed : Matrix(ga.pointer, m, k)
          let y = tb ? Matrix(right, n, k).transposed : Matrix(right, k, n)
          let (into, plus) = (Guarded(m * n), Guarded(before))
          products.run {
            matrixProduct(x, y, into: Matrix(into.pointer, m, n))
            matrixProduct(x, y, accumulatingInto: Matrix(plus.pointer, m, n))
          }
          expectIntact(ga, into, plus)
          return [into.values, plus.values]
        }
        let name = "\(backEnd) \(ta) \(tb) weight: \(isWeight)"
        #expect(relativeError(results[0], expected) < 1e-6, "\(name)")
        #expect(relativeError(results[1], added) < 1e-6, "\(name)")
      }
    }
  }

  @Test("products against Double", arguments: everywhere, shapes)
  func products(_ backEnd: BFloat16BackEnd, _ shape: [Int]) { check(backEnd, shape) }

  @Test(
    "products against Double, on bf16 instructions",
    .enabled(if: BFloat16BackEnd.isAccelerated, "this processor has no bf16 instructions"),
    arguments: shapes)
  func native(_ shape: [Int]) { check(.oneDNN, shape) }

  @Test("the rounding shows: fp32 products are different")
  func roundingShows() {
    let shape = [65, 100, 63]
    let (a, b) = (normals(65 * 100, "a"), normals(100 * 63, "b"))
    let exact = naiveProduct(a.doubles, b.doubles, shape)
    let (ga, gb, result) = (Guarded(a), Guarded(b), Guarded(65 * 63))
    let products = BFloat16Products(.portable, parameters: FloatBuffer(count: 1), operandCount: 1)
    func multiply() {
      matrixProduct(
        Matrix(ga.pointer, 65, 100), Matrix(gb.pointer, 100, 63),
        into: Matrix(result.pointer, 65, 63))
    }
    products.run(multiply)
    let error = relativeError(result.values, exact)
    #expect(error > 1e-4 && error < 1e-2)
    multiply()
    #expect(relativeError(result.values, exact) < 1e-6)
  }

  @Test("a shared operand gives the same bits, plain and transposed", arguments: everywhere)
  func shared(_ backEnd: BFloat16BackEnd) {
    let (m, k, n) = (100, 65, 63)
    let (x, w, d) = (
      Guarded(normals(m * k, "x")), Guarded(normals(k * n, "w")), Guarded(normals(m * n, "d"))
    )
    let products = BFloat16Products(backEnd, parameters: FloatBuffer(count: 1), operandCount: 1)
    let outputs = (0..<4).map { Guarded($0 < 2 ? m * n : k * n) }
    func multiply(_ x: Matrix, _ y: Guarded, _ dw: Guarded) {
      matrixProduct(x, Matrix(w.pointer, k, n), into: Matrix(y.pointer, m, n))
      matrixProduct(x.transposed, Matrix(d.pointer, m, n), into: Matrix(dw.pointer, k, n))
    }
    products.run {
      let matrix = Matrix(x.pointer, m, k)
      multiply(matrix, outputs[0], outputs[2])
      withSharedOperand(matrix) { multiply($0, outputs[1], outputs[3]) }
    }
    #expect(outputs[0].values == outputs[1].values)
    #expect(relativeError(outputs[3].values, outputs[2].values.doubles) < 1e-6)
    expectIntact(x, w, d, outputs[0], outputs[1], outputs[2], outputs[3])
  }

  @Test("weights that changed are converted again")
  func convertsAgain() {
    let arena = FloatBuffer(count: 40_000)
    let (one, result) = (Guarded([1]), Guarded(1))
    let products = BFloat16Products(.portable, parameters: arena, operandCount: 1)
    for (index, value) in [(0, Float(3)), (16_384, 5), (39_999, 7)] {
      arena.pointer[index] = value
      for isConverted in [false, true] {
        if isConverted { products.convertWeights() }
        products.run {
          matrixProduct(
            Matrix(one.pointer, 1, 1), Matrix(arena.pointer + index, 1, 1),
            into: Matrix(result.pointer, 1, 1))
        }
        #expect(result.values == [isConverted ? value : 0])
      }
    }
  }

  @Test("oneDNN starts no threads")
  func threads() throws {
    defer { ThreadPool.configure(threadCount: 1) }
    ThreadPool.configure(threadCount: 3)
    let before = try threadCount()
    let (a, b, c) = (
      Guarded(normals(600 * 300, "a")), Guarded(normals(300 * 600, "b")), Guarded(360_000)
    )
    let products = BFloat16Products(
      .oneDNNWidened, parameters: FloatBuffer(count: 1), operandCount: 180_000)
    products.run {
      for _ in 0..<3 {
        matrixProduct(
          Matrix(a.pointer, 600, 300), Matrix(b.pointer, 300, 600),
          into: Matrix(c.pointer, 600, 600))
      }
    }
    #expect(try threadCount() == before)
  }

  private func threadCount() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
  }

  @Test("bf16 instructions are found by the processor's flags")
  func flags() {
    #expect(BFloat16BackEnd.hasInstructions("processor: 0\nflags\t\t: fpu avx512_bf16 avx2\n"))
    #expect(BFloat16BackEnd.hasInstructions("flags : fpu amx_bf16"))
    #expect(!BFloat16BackEnd.hasInstructions("flags : fpu avx2\nbugs: avx512_bf16"))
    #expect(!BFloat16BackEnd.hasInstructions(""))
  }
}
