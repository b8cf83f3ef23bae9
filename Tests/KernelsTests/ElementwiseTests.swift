import Foundation
import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// fla's feature maps.
@Suite("elementwise functions", .serialized)
struct ElementwiseTests {
  /// The definition in `Double`.
  private func value(_ function: ElementwiseFunction, _ x: Double) -> Double {
    switch function {
    case .relu: max(x, 0)
    case .sigmoid: sigmoid(x)
    case .logSigmoid: logSigmoid(x)
    case .silu: silu(x)
    case .squaredReLU: max(x, 0) * max(x, 0)
    case .tanhGELU: 0.5 * x * (1 + tanh(0.79788456 * x * (1 + 0.044715 * x * x)))
    }
  }

  @Test(
    "value and derivative, also in place",
    arguments: ElementwiseFunction.allCases, oddSizes + [8193])
  func functions(_ function: ElementwiseFunction, _ count: Int) {
    let (x, dy) = (normals(count, "x", deviation: 3), normals(count, "dy"))
    let results = onAnyThreads {
      let (gx, gy, gd) = (Guarded(x), Guarded(count), Guarded(dy))
      elementwiseForward(function, gx.pointer, into: gy.pointer, count: count)
      elementwiseBackward(function, gx.pointer, inPlace: gd.pointer, count: count)
      elementwiseForward(function, gx.pointer, into: gx.pointer, count: count)
      expectIntact(gx, gy, gd)
      return [gy.values, gd.values, gx.values]
    }
    let expected = x.doubles.map { value(function, $0) }
    #expect(relativeError(results[0], expected) < 1e-6)
    #expect(results[2] == results[0])
    for (index, (x, dy)) in zip(x.doubles, dy.doubles).enumerated() {
      let slope = (value(function, x + 1e-6) - value(function, x - 1e-6)) / 2e-6
      #expect(abs(Double(results[1][index]) - dy * slope) < 2e-5 * max(1, abs(dy * slope)))
    }
  }

  @Test("far from zero nothing overflows", arguments: ElementwiseFunction.allCases)
  func extremes(_ function: ElementwiseFunction) {
    let x: [Float] = [-1e4, -200, 200, 1e4]
    let (gx, y, dy) = (Guarded(x), Guarded(4), Guarded([1, 1, 1, 1]))
    elementwiseForward(function, gx.pointer, into: y.pointer, count: 4)
    elementwiseBackward(function, gx.pointer, inPlace: dy.pointer, count: 4)
    #expect(relativeError(y.values, x.doubles.map { value(function, $0) }) < 1e-6)
    #expect(dy.values.allSatisfy { $0.isFinite })
  }
}
