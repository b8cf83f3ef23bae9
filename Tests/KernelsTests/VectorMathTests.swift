import Foundation
import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// The elementary functions, in units in the last place against `Double`.
@Suite("vector math")
struct VectorMathTests {
  /// Error of `value` in units in the last place of the correctly rounded result.
  private func ulps(_ value: Float, _ exact: Double) -> Double {
    let rounded = Float(exact)
    if value == rounded { return 0 }
    return abs(Double(value) - exact) / Double(max(abs(rounded), .leastNormalMagnitude).ulp)
  }

  /// Largest error over evenly spread arguments and some near the ends.
  private func worst(
    _ range: ClosedRange<Double>, _ fast: (Float) -> Float, _ exact: (Double) -> Double
  ) -> Double {
    var worst = 0.0
    for i in 0...200_000 {
      let x = Float(range.lowerBound + (range.upperBound - range.lowerBound) * Double(i) / 200_000)
      let error = ulps(fast(x), exact(Double(x)))
      if !(error <= worst) { worst = error }
    }
    return worst
  }

  @Test("exp is within 2 ulp over its whole range")
  func exponential() {
    #expect(worst(-87.3...88.7, fastExp, Foundation.exp) <= 2)
    #expect(worst(-1e-3...1e-3, fastExp, Foundation.exp) <= 1)
    #expect(fastExp(0) == 1 && fastExp(-0.0) == 1)
    #expect(fastExp(-87.4) == 0 && fastExp(-1e30) == 0 && fastExp(-.infinity) == 0)
    #expect(fastExp(88.73) == .infinity && fastExp(1e30) == .infinity)
    #expect(fastExp(.infinity) == .infinity)
    #expect(fastExp(.nan).isNaN)
  }

  @Test("sigmoid neither overflows nor loses small values")
  func sigmoidFunction() {
    #expect(worst(-87...87, fastSigmoid, sigmoid) <= 4)
    #expect(fastSigmoid(0) == 0.5)
    #expect(fastSigmoid(1e9) == 1 && fastSigmoid(.infinity) == 1)
    #expect(fastSigmoid(-1e9) == 0 && fastSigmoid(-.infinity) == 0)
    #expect(fastSigmoid(.nan).isNaN)
  }

  @Test("log1p keeps its relative error however small the argument")
  func logarithm() {
    #expect(worst(0...1, fastLog1p, log1p) <= 8)
    for exponent in 1...37 {
      let u = Float(pow(10, -Double(exponent)))
      #expect(abs(Double(fastLog1p(u)) / log1p(Double(u)) - 1) < 1e-6)
    }
    #expect(fastLog1p(0) == 0)
    #expect(fastLog1p(.nan).isNaN)
  }

  @Test("log sigmoid is exact at both ends")
  func logSigmoidFunction() {
    #expect(worst(-100...80, fastLogSigmoid, logSigmoid) <= 8)
    #expect(fastLogSigmoid(-1e9) == -1e9 && fastLogSigmoid(-.infinity) == -.infinity)
    #expect(fastLogSigmoid(1e9) == 0 && fastLogSigmoid(.infinity) == 0)
    #expect(fastLogSigmoid(.nan).isNaN)
  }

  @Test("SiLU and its derivative")
  func siluFunction() {
    #expect(worst(-80...80, fastSiLU, silu) <= 4)
    for i in -400...400 {
      let x = Double(i) / 20
      let s = sigmoid(Double(Float(x)))
      let exact = s * (1 + Double(Float(x)) * (1 - s))
      #expect(abs(Double(fastSiLUDerivative(Float(x))) - exact) < 1.2e-6)
    }
  }

  @Test(
    "dot product and sum of squares of any length",
    arguments: [0, 1, 15, 16, 17, 63, 64, 65, 100, 1000])
  func reductions(_ count: Int) {
    let (x, y) = (normals(count, "x"), normals(count, "y"))
    let (a, b) = (Guarded(x), Guarded(y))
    let scale = inner(x.doubles.map(abs), y.doubles.map(abs))
    let dot = Double(dotProduct(a.pointer, b.pointer, count))
    #expect(abs(dot - inner(x.doubles, y.doubles)) <= 1e-6 * scale)
    let squares = sumOfSquares(a.pointer, count)
    #expect(abs(squares - inner(x.doubles, x.doubles)) <= 1e-14 * squares)
  }

  @Test("a sum of squares shows NaN and infinity wherever they stand", arguments: [0, 7, 16, 99])
  func reductionsOfSpecialValues(_ place: Int) {
    let x = Guarded(normals(100, "x"))
    x.pointer[place] = .infinity
    #expect(sumOfSquares(x.pointer, 100) == .infinity)
    x.pointer[place] = .nan
    #expect(sumOfSquares(x.pointer, 100).isNaN)
  }
}
