import Dispatch
import Kernels

/// What the processor can do at most: multiplications and additions of numbers in registers.
enum MultiplyAdd {
  private static let rounds = 5_000_000

  /// GFLOP/s of all threads together, the best of several tries with two vector widths.
  static func measure(threads: Int) -> Double {
    var best = 0.0
    for attempt in 0..<16 {
      let width = attempt % 2 == 0 ? 8 : 16
      let start = DispatchTime.now().uptimeNanoseconds
      parallelFor(threads, width) { width, task in
        let sum = width == 8 ? run(SIMD8<Float>.self, task) : run(SIMD16<Float>.self, task)
        precondition(sum.isFinite, "the loop is a contraction")
      }
      let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
      best = max(best, Double(threads * rounds * 12 * 2 * width) / seconds * 1e-9)
    }
    return (best * 10).rounded() / 10
  }

  /// Twelve independent chains hide the latency of the instruction, and fit into 16 registers.
  @inline(__always)
  private static func run<V: SIMD>(_: V.Type, _ seed: Int) -> Float where V.Scalar == Float {
    let (factor, term) = (V(repeating: 0.999), V(repeating: Float(seed) * 1e-3))
    func start(_ number: Int) -> V { V(repeating: Float(seed + number)) }
    var (a, b, c, d, e, f) = (start(0), start(1), start(2), start(3), start(4), start(5))
    var (g, h, i, j, k, l) = (start(6), start(7), start(8), start(9), start(10), start(11))
    for _ in 0..<rounds {
      a = term.addingProduct(a, factor)
      b = term.addingProduct(b, factor)
      c = term.addingProduct(c, factor)
      d = term.addingProduct(d, factor)
      e = term.addingProduct(e, factor)
      f = term.addingProduct(f, factor)
      g = term.addingProduct(g, factor)
      h = term.addingProduct(h, factor)
      i = term.addingProduct(i, factor)
      j = term.addingProduct(j, factor)
      k = term.addingProduct(k, factor)
      l = term.addingProduct(l, factor)
    }
    let sum = a + b + c + d + e + f + g + h + i + j + k + l
    return sum[0]
  }
}
