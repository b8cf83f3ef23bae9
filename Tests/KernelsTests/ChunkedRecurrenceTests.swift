import Kernels
import TensorStorage
import Testing

/// The driver of chunked recurrences, with a transition that is a matrix: the delta rule.
@Suite("chunked recurrence", .serialized)
struct ChunkedRecurrenceTests {
  /// One part; several spans; parts of whole and short chunks; more parts than chunks.
  static let lengths = [[1], [75], [8, 8], [37, 22, 40], [1, 2, 1]]

  @Test("a matrix transition: states, outputs and all gradients", arguments: lengths, [1, 2])
  func delta(_ lengths: [Int], batch: Int) {
    let (keyDim, valueDim, length) = (5, 70, lengths.reduce(0, +))
    let rows = batch * length
    let (q, k, v) = (
      normals(rows * keyDim, "q"), normals(rows * keyDim, "k").map { $0 * 0.4 },
      normals(rows * valueDim, "v")
    )
    var random = CounterRandom(seed: 5, purpose: "beta")
    let beta = (0..<rows).map { _ in Float(random.uniform(0.1, 1)) }
    let states = batch * keyDim * valueDim
    let (state, dstate) = (normals(states, "s"), normals(states, "ds"))
    let dout = normals(rows * valueDim, "do")

    /// A part's rows of `[B, T, width]`.
    func cut(_ x: [Float], _ part: Int) -> [Float] {
      let width = x.count / rows
      let first = lengths[..<part].reduce(0, +)
      return (0..<batch).flatMap { b -> [Float] in
        let start = (b * length + first) * width
        return Array(x[start..<(start + lengths[part] * width)])
      }
    }
    func joined(_ parts: [[Float]]) -> [Float] {
      (0..<batch).flatMap { b -> [Float] in
        parts.flatMap { part in
          Array(part[(b * part.count / batch)..<((b + 1) * part.count / batch)])
        }
      }
    }
    let results = onAnyThreads {
      let parts = lengths.indices.map { part in
        let x = [q, k, v, beta].map { Guarded(cut($0, part)) }
        let d = x.map { Guarded($0.count) }
        return RecurrencePart(
          DeltaRule(batch: batch, length: lengths[part], keyDim: keyDim, valueDim: valueDim), x,
          DeltaRule.Inputs(
            q: x[0].pointer, k: x[1].pointer, v: x[2].pointer, beta: x[3].pointer),
          dout: Guarded(cut(dout, part)), d,
          DeltaRule.Gradients(
            dq: d[0].pointer, dk: d[1].pointer, dv: d[2].pointer, dbeta: d[3].pointer))
      }
      let run = RecurrencePart.run(parts, state: state, dstate: dstate)
      for part in parts { #expect(part.isIntact) }
      return [run.state, run.dstate]
        + (0..<5).map { i in joined(parts.map { $0.outputs[i].values }) }
    }
    let x = [q, k, v, beta, state].map(\.doubles)
    func recurrent(_ x: [[Double]]) -> (o: [Double], state: [Double]) {
      DeltaRule.recurrent(q: x[0], k: x[1], v: x[2], beta: x[3], state: x[4], batch: batch)
    }
    let expected = recurrent(x)
    #expect(relativeError(results[0], expected.state) < 2e-6)
    #expect(relativeError(results[2], expected.o) < 2e-6)
    for (index, gradient) in [(0, 3), (1, 4), (2, 5), (3, 6), (4, 1)] {
      expectGradient("input \(index)", results[gradient], at: x[index]) { value in
        var x = x
        x[index] = value
        let (o, state) = recurrent(x)
        return inner(o, dout.doubles) + inner(state, dstate.doubles)
      }
    }
  }
}
