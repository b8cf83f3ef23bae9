import Foundation
import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// SwiGLU, log gates and elementwise functions, against their definitions in `Double`.
@Suite("activations", .serialized)
struct ActivationTests {
  static let counts = oddSizes + [8192, 8193, 20_000]

  @Test("SwiGLU and its gradients", arguments: counts)
  func swiGLU(_ count: Int) {
    let (gate, up, dy) = (
      normals(count, "gate", deviation: 3), normals(count, "up"), normals(count, "dy")
    )
    let results = onAnyThreads {
      let (g, u, d, y) = (Guarded(gate), Guarded(up), Guarded(dy), Guarded(count))
      swiGLUForward(gate: g.pointer, up: u.pointer, into: y.pointer, count: count)
      swiGLUBackward(d.pointer, gateInPlace: g.pointer, upInPlace: u.pointer, count: count)
      expectIntact(g, u, d, y)
      return [y.values, g.values, u.values]
    }
    let (gate64, up64) = (gate.doubles, up.doubles)
    func forward(_ g: [Double], _ u: [Double]) -> [Double] { zip(g, u).map { silu($0) * $1 } }
    #expect(relativeError(results[0], forward(gate64, up64)) < 1e-6)
    expectGradient("dgate", results[1], at: gate64) { inner(dy.doubles, forward($0, up64)) }
    expectGradient("dup", results[2], at: up64) { inner(dy.doubles, forward(gate64, $0)) }
  }

  @Test(
    "log gates and their gradients, with and without a lower bound",
    arguments: [-Float.infinity, -0.05], [[65, 100], [1, 63], [100, 1], [33, 65]])
  func logGate(_ minimum: Float, _ shape: [Int]) {
    let (rows, width) = (shape[0], shape[1])
    let (z, bias, dg) = (
      normals(rows * width, "z", deviation: 3), normals(width, "b"), normals(rows * width, "dg")
    )
    let results = onAnyThreads {
      let (gz, gb, g, d) = (Guarded(z), Guarded(bias), Guarded(rows * width), Guarded(dg))
      logGateForward(
        gz.pointer, bias: gb.pointer, into: g.pointer, rows: rows, width: width, normalizer: 16,
        minimum: minimum)
      logGateBackward(
        gz.pointer, bias: gb.pointer, inPlace: d.pointer, rows: rows, width: width,
        normalizer: 16, minimum: minimum)
      logGateForward(
        gz.pointer, bias: gb.pointer, into: gz.pointer, rows: rows, width: width, normalizer: 16,
        minimum: minimum)
      expectIntact(gz, gb, g, d)
      return [g.values, d.values, gz.values]
    }
    func forward(_ z: [Double]) -> [Double] {
      z.enumerated().map {
        max(logSigmoid($1 + Double(bias[$0 % width])) / 16, Double(minimum))
      }
    }
    #expect(relativeError(results[0], forward(z.doubles)) < 1e-6)
    #expect(results[0].allSatisfy { $0 >= minimum })
    #expect(results[2] == results[0], "in place")
    expectGradient("dz", results[1], at: z.doubles) { inner(dg.doubles, forward($0)) }
  }

  @Test("a gate exactly at the bound passes its gradient, one below does not")
  func gateAtTheBound() {
    let z = Guarded([0, -1, 1])
    let (bias, d) = (Guarded([Float](repeating: 0, count: 3)), Guarded([1, 1, 1]))
    let bound = fastLogSigmoid(0) / 16
    logGateBackward(
      z.pointer, bias: bias.pointer, inPlace: d.pointer, rows: 1, width: 3, normalizer: 16,
      minimum: bound)
    #expect(d.values[0] == 0.5 / 16)
    #expect(d.values[1] == 0)
    #expect(d.values[2] > 0)
  }
}
