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

  /// One step of all numbers for the kernel with moments in bfloat16.
  private static let step = AdamWStep(
    lr: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, gradientScale: 0.7,
    biasCorrection1: 0.3, biasCorrection2Root: 0.4)

  @Test(
    "moments in bfloat16: the fp32 update, rounded to a neighbour", arguments: oddSizes + [8193])
  func halves(_ count: Int) {
    let start = normals(count, "p")
    let before = [normals(count, "m"), normals(count, "v").map { $0 * $0 }].map {
      $0.map { BFloat16($0) }
    }
    let gradient = Guarded(normals(count, "g"))
    let wanted = [start, before[0].map { Float($0) }, before[1].map { Float($0) }].map(Guarded.init)
    adamW(
      wanted[0].pointer, gradient: gradient.pointer, moment1: wanted[1].pointer,
      moment2: wanted[2].pointer, count: count, step: Self.step)
    let results = onAnyThreads {
      let p = Guarded(start)
      let halves = before.map { values in
        let buffer = BFloat16Buffer(count: count + 1)
        for (i, value) in values.enumerated() { buffer.pointer[i] = value }
        buffer.pointer[count] = BFloat16(7)
        return buffer
      }
      adamW(
        p.pointer, gradient: gradient.pointer, moment1: halves[0].pointer,
        moment2: halves[1].pointer, count: count, step: Self.step,
        noise: RoundingNoise(step: 3, firstIndex: 100))
      expectIntact(p)
      #expect(halves.allSatisfy { $0.pointer[count] == BFloat16(7) })
      return [p.values] + halves.map { half in (0..<count).map { Float(half.pointer[$0]) } }
    }
    #expect(results[0] == wanted[0].values, "the parameter moves by the moments before rounding")
    for moment in 1...2 {
      for (rounded, exact) in zip(results[moment], wanted[moment].values) {
        #expect(abs(rounded - exact) < 0x1p-7 * abs(exact))
      }
    }
  }

  @Test("stochastic rounding of moments is unbiased, and a function of step and index")
  func unbiased() {
    let count = 100_000
    func run(step: Int, firstIndex: Int) -> [[Float]] {
      let (p, g) = (FloatBuffer(count: count), FloatBuffer(count: count))
      g.fill(0.123_456)
      let (m, v) = (BFloat16Buffer(count: count), BFloat16Buffer(count: count))
      adamW(
        p.pointer, gradient: g.pointer, moment1: m.pointer, moment2: v.pointer, count: count,
        step: Self.step, noise: RoundingNoise(step: step, firstIndex: firstIndex))
      return [m, v].map { half in (0..<count).map { Float(half.pointer[$0]) } }
    }
    let gradient = Float(0.123_456) * 0.7
    let exact = [(1 - Float(0.9)) * gradient, (1 - Float(0.95)) * gradient * gradient]
    let results = run(step: 1, firstIndex: 0)
    for (values, exact) in zip(results, exact) {
      let (low, high) = (values.min() ?? 0, values.max() ?? 0)
      #expect(low < exact && exact < high, "both neighbours occur")
      let mean = values.reduce(0.0) { $0 + Double($1) } / Double(count)
      // Four standard errors of a mean of values that are low or high.
      #expect(abs(mean - Double(exact)) < 4 * Double(high - low) / 2 / Double(count).squareRoot())
    }
    // The two moments, neighbours, and steps are rounded independently of each other.
    func agreement(_ a: [Float], _ b: [Float]) -> Double {
      let (x, y) = (a.max() ?? 0, b.max() ?? 0)
      let (p, q) = (
        Double(a.count { $0 == x }) / Double(a.count), Double(b.count { $0 == y }) / Double(b.count)
      )
      let both = Double(zip(a, b).count { $0 == x && $1 == y }) / Double(a.count)
      return abs(both - p * q)
    }
    #expect(agreement(results[0], results[1]) < 0.01)
    #expect(agreement(results[0], Array(results[0].dropFirst())) < 0.01)
    #expect(agreement(results[0], run(step: 2, firstIndex: 0)[0]) < 0.01)
    #expect(run(step: 1, firstIndex: 50)[0].prefix(1000) == results[0][50..<1050])
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1.0) { result, _ in result * base }
  }
}
