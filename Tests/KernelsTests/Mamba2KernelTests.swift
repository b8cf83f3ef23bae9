import Foundation
import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// The kernels around Mamba2's recurrence, against their definitions in `Double`.
@Suite("Mamba2 kernels", .serialized)
struct Mamba2KernelTests {
  @Test(
    "gated RMSNorm, its gradient in the place of dy or x",
    arguments: [(1, 70, true), (3, 17, false), (2, 32, true)])
  func gatedNorm(groups: Int, width: Int, inPlaceOfX: Bool) {
    let (rows, count) = (35, 35 * groups * width)
    let dims = HeadNormDims(rows: rows, heads: groups, width: width, epsilon: 1e-5)
    let (x, z, dy) = (normals(count, "x"), normals(count, "z", deviation: 4), normals(count, "dy"))
    let w = normals(groups * width, "w")
    func forward(_ x: [Double], _ z: [Double], _ w: [Double]) -> [Double] {
      let normed = rmsNorm(
        zip(x, z).map { $0 * silu($1) }, weight: nil, width: width, epsilon: 1e-5)
      return normed.indices.map { normed[$0] * w[$0 % w.count] }
    }
    let (gx, gz, gw) = (Guarded(x), Guarded(z), Guarded(w))
    let (y, rstd) = (Guarded(count), Guarded(rows * groups))
    gatedRMSNormForward(
      gx.pointer, gate: gz.pointer, weight: gw.pointer, into: y.pointer, rstd: rstd.pointer,
      dims: dims)
    #expect(relativeError(y.values, forward(x.doubles, z.doubles, w.doubles)) < 1e-6)

    let (d, dw) = (Guarded(dy), Guarded([Float](repeating: 2, count: w.count)))
    let scratch = Guarded(gatedRMSNormScratchCount(dims))
    let dx = inPlaceOfX ? gx : d
    gatedRMSNormBackward(
      d.pointer, x: gx.pointer, gate: gz.pointer, weight: gw.pointer, rstd: rstd.pointer,
      into: dx.pointer, dgate: gz.pointer, dweight: dw.pointer, scratch: scratch.pointer,
      dims: dims)
    func loss(_ x: [Double], _ z: [Double], _ w: [Double]) -> Double {
      zip(forward(x, z, w), dy).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    var random = CounterRandom(seed: 1, purpose: "elements")
    for _ in 0..<40 {
      let (i, k) = (random.below(count), random.below(w.count))
      let expected = difference(x, i) { loss($0, z.doubles, w.doubles) }
      let dz = difference(z, i) { loss(x.doubles, $0, w.doubles) }
      let dk = difference(w, k) { loss(x.doubles, z.doubles, $0) }
      #expect(abs(Double(dx.values[i]) - expected) < 1e-5)
      #expect(abs(Double(gz.values[i]) - dz) < 1e-5)
      #expect(abs(Double(dw.values[k]) - 2 - dk) < 5e-5)
    }
    #expect([gx, gz, gw, y, rstd, d, dw, scratch].allSatisfy { $0.isIntact })
  }

  @Test("time steps: softplus from 1e-30 to 1e30, clamped, and their gradient")
  func timeSteps() {
    let logits: [Float] = [-200, -80, -30, -5, -1, -1e-8, 0, 0.5, 3, 19, 25, 100, 1e30]
    let (rows, heads) = (33, logits.count)
    let z = Guarded((0..<rows).flatMap { _ in logits })
    let bias = Guarded([Float](repeating: 0.25, count: heads))
    for limit in [0...Float.infinity, 0.01...2, 1...1] {
      let (dt, d) = (Guarded(rows * heads), Guarded([Float](repeating: 3, count: rows * heads)))
      timeStepForward(
        z.pointer, bias: bias.pointer, into: dt.pointer, rows: rows, heads: heads, limit: limit)
      timeStepBackward(
        z.pointer, bias: bias.pointer, inPlace: d.pointer, rows: rows, heads: heads,
        limit: limit)
      for i in 0..<(rows * heads) {
        let x = Double(logits[i % heads] + 0.25)
        let step = softplus(x)
        let (lower, upper) = (Double(limit.lowerBound), Double(limit.upperBound))
        let wanted = min(max(step, lower), upper)
        #expect(abs(Double(dt.values[i]) - wanted) <= 1e-6 * wanted + 1e-38, "\(x)")
        let slope = step < lower || step > upper ? 0 : 3 * sigmoid(x)
        #expect(abs(Double(d.values[i]) - slope) <= 1e-6 * slope + 1e-37, "\(x)")
      }
      #expect([dt, d].allSatisfy { $0.isIntact })
    }
  }

  @Test("the D term and its gradients")
  func skip() {
    let dims = SSDDims(
      batch: 2, length: 20, heads: 3, headDim: 7, groups: 1, stateSize: 1, inputStride: 25)
    let (rows, width) = (40, 21)
    let (x, w) = (Guarded(normals(rows * 25, "x")), Guarded(normals(3, "w")))
    let (start, dy) = (normals(rows * width, "y"), normals(rows * width, "dy"))
    let (y, gradient) = (Guarded(start), Guarded(dy))
    let (dx, dw) = (Guarded([Float](repeating: 1, count: rows * 25)), Guarded([1, 1, 1]))
    let scratch = Guarded(RowTiles(rows).count * 3)
    skipForward(x.pointer, weight: w.pointer, accumulatingInto: y.pointer, dims: dims)
    skipBackward(
      gradient.pointer, x: x.pointer, weight: w.pointer, accumulatingInto: dx.pointer,
      dweight: dw.pointer, scratch: scratch.pointer, dims: dims)
    var dweight = [1.0, 1.0, 1.0]
    for row in 0..<rows {
      for j in 0..<width {
        let (at, from, head) = (row * width + j, row * 25 + j, j / 7)
        #expect(abs(y.values[at] - start[at] - w.values[head] * x.values[from]) < 1e-6)
        #expect(abs(dx.values[from] - 1 - w.values[head] * dy[at]) < 1e-6)
        dweight[head] += Double(x.values[from]) * Double(dy[at])
      }
      for j in width..<25 { #expect(dx.values[row * 25 + j] == 1) }
    }
    #expect(relativeError(dw.values, dweight) < 1e-6)
    #expect([x, w, y, gradient, dx, dw, scratch].allSatisfy { $0.isIntact })
  }

  /// The central difference of `f` in element `i`.
  private func difference(_ x: [Float], _ i: Int, _ f: ([Double]) -> Double) -> Double {
    var (up, down) = (x.doubles, x.doubles)
    up[i] += 1e-5
    down[i] -= 1e-5
    return (f(up) - f(down)) / 2e-5
  }
}
