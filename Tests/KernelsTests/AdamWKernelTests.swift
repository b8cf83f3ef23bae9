import Kernels
import TensorStorage
import Testing

/// The update of a range of parameters, against the formulas in `Double`.
@Suite("AdamW kernel", .serialized)
struct AdamWKernelTests {
  @Test("ten steps follow the formulas", arguments: oddSizes + [8193])
  func update(_ count: Int) {
    let start = normals(count, "p")
    let (lr, b1, b2, decay, scale, epsilon) = (1e-2, 0.9, 0.95, 0.1, 0.7, 1e-8)
    let results = onAnyThreads {
      let p = Guarded(start)
      let m = Guarded([Float](repeating: 0, count: count))
      let v = Guarded([Float](repeating: 0, count: count))
      for t in 1...10 {
        let g = Guarded(normals(count, "g\(t)"))
        let (c1, c2) = (power(b1, t), power(b2, t))
        adamW(
          p.pointer, gradient: g.pointer, moment1: m.pointer, moment2: v.pointer, count: count,
          step: AdamWStep(
            lr: Float(lr), beta1: Float(b1), beta2: Float(b2), epsilon: Float(epsilon),
            weightDecay: Float(decay), gradientScale: Float(scale), biasCorrection1: Float(1 - c1),
            biasCorrection2Root: Float((1 - c2).squareRoot())))
      }
      expectIntact(p, m, v)
      return [p.values, m.values, v.values]
    }
    var (p, m, v) = (start.doubles, [Double](repeating: 0, count: count), [Double]())
    v = m
    for t in 1...10 {
      let g = normals(count, "g\(t)").doubles
      for i in 0..<count {
        let gradient = g[i] * scale
        m[i] = b1 * m[i] + (1 - b1) * gradient
        v[i] = b2 * v[i] + (1 - b2) * gradient * gradient
        let (mean, square) = (m[i] / (1 - power(b1, t)), v[i] / (1 - power(b2, t)))
        p[i] -= lr * decay * p[i]
        p[i] -= lr * mean / (square.squareRoot() + epsilon)
      }
    }
    #expect(relativeError(results[0], p) < 1e-6)
    #expect(relativeError(results[1], m) < 1e-6)
    #expect(relativeError(results[2], v) < 1e-6)
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1.0) { result, _ in result * base }
  }
}
