import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// RMSNorm over rows and over gated heads, against `rmsNorm` in `Double`.
@Suite("norms", .serialized)
struct NormTests {
  static let shapes = zip(oddSizes + [65, 1], oddSizes.reversed() + [65, 1]).map { [$0, $1] }
  private let epsilon = 1e-5

  @Test("rows: forward, recomputation and gradients", arguments: shapes)
  func rows(_ shape: [Int]) {
    let (rows, width) = (shape[0], shape[1])
    let (x, w, dy) = (
      normals(rows * width, "x"), normals(width, "w"), normals(rows * width, "dy")
    )
    let (before, beforeWeight) = (normals(rows * width, "dx"), normals(width, "dw"))
    let results = onAnyThreads {
      let (gx, gw, gdy) = (Guarded(x), Guarded(w), Guarded(dy))
      let (y, again, rstd) = (Guarded(rows * width), Guarded(rows * width), Guarded(rows))
      rmsNormForward(
        gx.pointer, weight: gw.pointer, into: y.pointer, rstd: rstd.pointer, rows: rows,
        width: width, epsilon: Float(epsilon))
      rmsNormRecompute(
        gx.pointer, weight: gw.pointer, rstd: rstd.pointer, into: again.pointer, rows: rows,
        width: width)
      let (dx, dw) = (Guarded(before), Guarded(beforeWeight))
      let scratch = Guarded(RowTiles(rows).count * width)
      rmsNormBackward(
        gdy.pointer, x: gx.pointer, weight: gw.pointer, rstd: rstd.pointer,
        into: dx.pointer, accumulate: true, dweight: dw.pointer, scratch: scratch.pointer,
        rows: rows, width: width)
      rmsNormBackward(
        gdy.pointer, x: gx.pointer, weight: gw.pointer, rstd: rstd.pointer, into: gdy.pointer,
        accumulate: false, dweight: nil, scratch: scratch.pointer, rows: rows, width: width)
      expectIntact(gx, gw, gdy, y, again, rstd, dx, dw, scratch)
      return [y.values, again.values, dx.values, dw.values, gdy.values]
    }
    let (x64, w64) = (x.doubles, w.doubles)
    let expected = rmsNorm(x64, weight: w64, width: width, epsilon: epsilon)
    #expect(relativeError(results[0], expected) < 1e-6)
    #expect(results[1] == results[0], "recomputation gives other bits")
    func loss(_ x: [Double], _ w: [Double]) -> Double {
      inner(dy.doubles, rmsNorm(x, weight: w, width: width, epsilon: epsilon))
        + inner(before.doubles, x) + inner(beforeWeight.doubles, w)
    }
    expectGradient("dx", results[2], at: x64) { loss($0, w64) }
    expectGradient("dw", results[3], at: w64) { loss(x64, $0) }
    #expect(zip(before, results[4]).map { $0 + $1 } == results[2], "in the place of dy")
  }

  struct HeadCase: CustomTestStringConvertible, Sendable {
    let (rows, heads, width): (Int, Int, Int)
    let hasWeight: Bool
    let hasGate: Bool
    /// Whose place the gradient of x takes; then the gate's takes the gate's.
    var place: Place?
    var testDescription: String {
      "\(rows) x \(heads) x \(width)\(hasWeight ? " weight" : "")\(hasGate ? " gate" : "")"
        + (place.map { " in the place of \($0)" } ?? "")
    }

    enum Place { case dy, x }
  }

  static let headCases = [
    HeadCase(rows: 65, heads: 3, width: 17, hasWeight: true, hasGate: true),
    HeadCase(rows: 65, heads: 3, width: 17, hasWeight: true, hasGate: true, place: .dy),
    HeadCase(rows: 65, heads: 3, width: 17, hasWeight: true, hasGate: true, place: .x),
    HeadCase(rows: 33, heads: 2, width: 63, hasWeight: false, hasGate: true),
    HeadCase(rows: 31, heads: 1, width: 100, hasWeight: true, hasGate: false),
    HeadCase(rows: 1, heads: 4, width: 65, hasWeight: false, hasGate: false),
    HeadCase(rows: 63, heads: 1, width: 3, hasWeight: true, hasGate: true),
  ]

  @Test("gated heads: forward and gradients, also in place", arguments: headCases)
  func heads(_ c: HeadCase) {
    let count = c.rows * c.heads * c.width
    let (x, z, dy) = (normals(count, "x"), normals(count, "z", deviation: 2), normals(count, "dy"))
    let (w, before) = (normals(c.width, "w"), normals(c.width, "dw"))
    let dims = HeadNormDims(
      rows: c.rows, heads: c.heads, width: c.width, epsilon: Float(epsilon))
    let results = onAnyThreads {
      let (gx, gdy, y) = (Guarded(x), Guarded(dy), Guarded(count))
      let weight = c.hasWeight ? Guarded(w) : nil
      let gate = c.hasGate ? Guarded(z) : nil
      let rstd = Guarded(c.rows * c.heads)
      gatedHeadNormForward(
        gx.pointer, weight: weight?.pointer, gate: gate?.pointer, into: y.pointer,
        rstd: rstd.pointer, dims: dims)
      let dx = c.place == .dy ? gdy : c.place == .x ? gx : Guarded(count)
      let dgate = c.place != nil ? gate : (c.hasGate ? Guarded(count) : nil)
      let dw = c.hasWeight ? Guarded(before) : nil
      let scratch = Guarded(2 * RowTiles(c.rows).count * c.width)
      gatedHeadNormBackward(
        gdy.pointer, x: gx.pointer, weight: weight?.pointer, gate: gate?.pointer,
        rstd: rstd.pointer, into: dx.pointer, dgate: dgate?.pointer, dweight: dw?.pointer,
        scratch: scratch.pointer, dims: dims)
      expectIntact(gx, gdy, y, weight, gate, rstd, dx, dgate, dw, scratch)
      return [y.values, dx.values, dgate?.values ?? [], dw?.values ?? []]
    }
    func forward(_ x: [Double], _ z: [Double], _ w: [Double]) -> [Double] {
      let normed = rmsNorm(x, weight: c.hasWeight ? w : nil, width: c.width, epsilon: epsilon)
      return c.hasGate ? zip(normed, z).map { $0 * silu($1) } : normed
    }
    let (x64, z64, w64) = (x.doubles, z.doubles, w.doubles)
    #expect(relativeError(results[0], forward(x64, z64, w64)) < 1e-6)
    expectGradient("dx", results[1], at: x64) { inner(dy.doubles, forward($0, z64, w64)) }
    if c.hasGate {
      expectGradient("dgate", results[2], at: z64) { inner(dy.doubles, forward(x64, $0, w64)) }
    }
    if c.hasWeight {
      expectGradient("dweight", results[3], at: w64) {
        inner(dy.doubles, forward(x64, z64, $0)) + inner(before.doubles, $0)
      }
    }
  }
}
