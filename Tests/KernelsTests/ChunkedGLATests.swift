import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// The chunked kernel against the token loop in `Double`.
@Suite("chunked GLA", .serialized)
struct ChunkedGLATests {
  struct Case: CustomTestStringConvertible, Sendable {
    var (batch, length, heads, keyDim, valueDim) = (1, 1, 1, 1, 1)
    /// Typical log gate a step.
    var gate: Double
    var testDescription: String {
      "B\(batch) T\(length) H\(heads) K\(keyDim) V\(valueDim) gate \(gate)"
    }
  }

  static let cases: [Case] = [
    Case(batch: 1, length: 1, heads: 1, keyDim: 1, valueDim: 1, gate: -0.1),
    Case(batch: 2, length: 63, heads: 3, keyDim: 17, valueDim: 23, gate: -0.05),
    Case(batch: 2, length: 65, heads: 2, keyDim: 8, valueDim: 100, gate: -0.05),
    Case(batch: 1, length: 100, heads: 1, keyDim: 100, valueDim: 130, gate: -0.5),
    Case(batch: 1, length: 200, heads: 1, keyDim: 65, valueDim: 63, gate: -0.7),
    Case(batch: 1, length: 130, heads: 2, keyDim: 16, valueDim: 16, gate: -3),
    Case(batch: 1, length: 129, heads: 2, keyDim: 16, valueDim: 16, gate: -30),
    Case(batch: 1, length: 128, heads: 4, keyDim: 32, valueDim: 64, gate: -0.001),
    // More chunks than one span of the backward pass.
    Case(batch: 2, length: 1100, heads: 1, keyDim: 9, valueDim: 20, gate: -0.02),
    Case(batch: 1, length: 1090, heads: 1, keyDim: 5, valueDim: 70, gate: -0.5),
  ]

  @Test("outputs, states and all gradients agree with the token loop", arguments: cases)
  func agrees(_ c: Case) {
    let result = run(c, threads: 2)
    let names = ["o", "state", "dq", "dk", "dv", "dg", "dstate"]
    for (name, (fast, reference)) in zip(names, zip(result.fast, result.reference)) {
      let error = relativeError(fast, reference)
      #expect(error < (name == "dg" ? 5e-6 : 2e-6), "\(name): \(error)")
    }
    #expect(result.intact)
  }

  @Test("one, two and three threads give the same bits", arguments: cases)
  func threads(_ c: Case) {
    let one = run(c, threads: 1).fast
    #expect(one == run(c, threads: 2).fast)
    #expect(one == run(c, threads: 3).fast)
  }

  private func run(_ c: Case, threads: Int) -> (
    fast: [[Float]], reference: [[Double]], intact: Bool
  ) {
    configureBLAS()
    ThreadPool.configure(threadCount: threads, spins: 0)
    defer { ThreadPool.configure(threadCount: 1) }
    let dims = GLADims(
      batch: c.batch, length: c.length, heads: c.heads, keyDim: c.keyDim, valueDim: c.valueDim)
    let keys = c.batch * c.length * c.heads * c.keyDim
    let values = c.batch * c.length * c.heads * c.valueDim
    let (q, k, v) = (normals(keys, "q"), normals(keys, "k"), normals(values, "v"))
    var random = CounterRandom(seed: 3, purpose: "gate")
    // Mostly around the typical gate, some channels nearly open, a few shut at once.
    let g = (0..<keys).map { i -> Float in
      let kind = random.uniform()
      return Float(c.gate * (kind < 0.1 ? 0.001 : kind < 0.97 ? 2 * random.uniform() : 4))
    }
    let (state, dstate) = (normals(dims.stateCount, "s"), normals(dims.stateCount, "ds"))
    let dout = normals(values, "do")

    let inputs = [q, k, v, g].map(Guarded.init)
    let x = GLAInputs(
      q: inputs[0].pointer, k: inputs[1].pointer, v: inputs[2].pointer, g: inputs[3].pointer)
    let initial = Guarded(state)
    let (o, final) = (Guarded(values), Guarded(dims.stateCount))
    let forwardScratch = Guarded(dims.forwardScratchCount)
    var forwardPlan = forwardScratch.plan
    chunkGLAForward(
      x, start: initial.pointer, into: o.pointer, final: final.pointer, nil, &forwardPlan,
      dims: dims)
    let (dq, dk, dv, dg) = (Guarded(keys), Guarded(keys), Guarded(values), Guarded(keys))
    let ds = Guarded(dstate)
    let scratch = Guarded(dims.backwardScratchCount)
    let d = Guarded(dout)
    var plan = scratch.plan
    chunkGLABackward(
      d.pointer, x, start: initial.pointer, dstateInPlace: ds.pointer,
      into: GLAGradients(dq: dq.pointer, dk: dk.pointer, dv: dv.pointer, dg: dg.pointer), nil,
      &plan,
      dims: dims)

    let reference = RecurrentGLA(
      batch: c.batch, length: c.length, heads: c.heads, keyDim: c.keyDim, valueDim: c.valueDim)
    let arrays = RecurrentGLA.Arrays(
      q: q.doubles, k: k.doubles, v: v.doubles, g: g.doubles, state: state.doubles)
    let forward = reference.forward(arrays)
    let backward = reference.backward(arrays, dout: dout.doubles, dstate: dstate.doubles)
    let buffers = inputs + [initial, o, final, forwardScratch, dq, dk, dv, dg, ds, scratch, d]
    return (
      [o.values, final.values, dq.values, dk.values, dv.values, dg.values, ds.values],
      [forward.o, forward.state, backward.q, backward.k, backward.v, backward.g, backward.state],
      buffers.allSatisfy(\.isIntact)
    )
  }
}

/// The token loop's own gradients, against finite differences.
@Suite("recurrent GLA")
struct RecurrentGLATests {
  @Test("every gradient equals the central difference")
  func gradients() {
    let reference = RecurrentGLA(batch: 1, length: 5, heads: 2, keyDim: 3, valueDim: 2)
    let x = RecurrentGLA.Arrays(
      q: normals(30, "q").doubles, k: normals(30, "k").doubles, v: normals(20, "v").doubles,
      g: normals(30, "g").map { -abs(Double($0)) }, state: normals(12, "s").doubles)
    let (dout, dstate) = (normals(20, "do").doubles, normals(12, "ds").doubles)
    let d = reference.backward(x, dout: dout, dstate: dstate)
    func loss(_ x: RecurrentGLA.Arrays) -> Double {
      let (o, s) = reference.forward(x)
      return zip(o, dout).reduce(0) { $0 + $1.0 * $1.1 }
        + zip(s, dstate).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let paths: [WritableKeyPath<RecurrentGLA.Arrays, [Double]>] = [\.q, \.k, \.v, \.g, \.state]
    for path in paths {
      for i in x[keyPath: path].indices {
        var (up, down) = (x, x)
        up[keyPath: path][i] += 1e-5
        down[keyPath: path][i] -= 1e-5
        let difference = (loss(up) - loss(down)) / 2e-5
        #expect(abs(difference - d[keyPath: path][i]) < 1e-7, "\(path) \(i)")
      }
    }
  }
}
