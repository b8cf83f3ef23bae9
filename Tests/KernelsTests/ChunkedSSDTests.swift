import Foundation
import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// The chunked kernel against the token loop in `Double`.
@Suite("chunked SSD", .serialized)
struct ChunkedSSDTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var (batch, length, heads, headDim, groups, stateSize) = (1, 1, 1, 1, 1, 1)
    /// Typical log gate a step.
    var gate: Double
    var testDescription: String {
      "B\(batch) T\(length) H\(heads) P\(headDim) G\(groups) N\(stateSize) gate \(gate)"
    }
  }

  static let cases: [Case] = [
    Case(batch: 1, length: 1, heads: 1, headDim: 1, groups: 1, stateSize: 1, gate: 0.1),
    Case(batch: 2, length: 63, heads: 6, headDim: 7, groups: 3, stateSize: 9, gate: 0.05),
    Case(batch: 2, length: 65, heads: 4, headDim: 64, groups: 1, stateSize: 16, gate: 0.02),
    Case(batch: 1, length: 200, heads: 1, headDim: 130, groups: 1, stateSize: 33, gate: 0.5),
    Case(batch: 1, length: 300, heads: 48, headDim: 3, groups: 2, stateSize: 5, gate: 0.3),
    Case(batch: 1, length: 130, heads: 8, headDim: 16, groups: 8, stateSize: 17, gate: 3),
    Case(batch: 1, length: 129, heads: 2, headDim: 33, groups: 1, stateSize: 20, gate: 30),
    Case(batch: 1, length: 128, heads: 4, headDim: 32, groups: 2, stateSize: 64, gate: 1e-4),
    // More chunks than one span of the backward pass.
    Case(batch: 2, length: 1100, heads: 4, headDim: 5, groups: 2, stateSize: 9, gate: 0.02),
    Case(batch: 1, length: 1090, heads: 1, headDim: 70, groups: 1, stateSize: 6, gate: 0.3),
  ]

  static let names = ["y", "state", "dx", "ddt", "dA_log", "dB", "dC", "dstate"]

  @Test("outputs, states and all gradients agree with the token loop", arguments: cases)
  func agrees(_ c: Case) {
    let run = Run(c)
    let result = run.execute(threads: 2)
    for (name, (fast, reference)) in zip(Self.names, zip(result.fast, result.reference)) {
      if name == "dA_log" { continue }
      let error = relativeError(fast, reference)
      #expect(error < 2e-6, "\(name): \(error)")
    }
    // A sum over tokens whose terms cancel: measured by the size of the terms.
    let (dt, ddt) = (run.dt.doubles, result.reference[3])
    for head in 0..<c.heads {
      let terms = stride(from: head, to: dt.count, by: c.heads).map { abs(dt[$0] * ddt[$0]) }
      let error = abs(Double(result.fast[4][head]) - result.reference[4][head])
      #expect(error < 2e-6 * terms.reduce(0, +), "dA_log of head \(head)")
    }
    #expect(result.intact)
  }

  @Test("one, two and three threads give the same bits", arguments: cases)
  func threads(_ c: Case) {
    let run = Run(c)
    let one = run.execute(threads: 1).fast
    #expect(one == run.execute(threads: 2).fast)
    #expect(one == run.execute(threads: 3).fast)
  }

  /// The identity `<y, dy> - <dt x, d(dt x)>` would leave rounding noise of 1e-7 here.
  @Test("a head whose gates are shut has an exact gradient of A_log")
  func shutGates() {
    var run = Run(
      Case(batch: 1, length: 150, heads: 3, headDim: 16, groups: 1, stateSize: 8, gate: 1))
    for i in run.dt.indices { run.dt[i] = [1e-3, 1, 1][i % 3] }
    run.aLog = [0, Float(log(1.0)), Float(log(30.0))]
    let result = run.execute(threads: 1)
    for head in 0..<3 {
      let (mine, reference) = (Double(result.fast[4][head]), result.reference[4][head])
      #expect(abs(mine / reference - 1) < 1e-4, "head \(head): \(mine) for \(reference)")
    }
  }

  @Test("time steps without bound overflow nothing")
  func hugeSteps() {
    var run = Run(
      Case(batch: 1, length: 70, heads: 2, headDim: 4, groups: 1, stateSize: 3, gate: 1))
    for i in run.dt.indices where i % 5 == 0 { run.dt[i] = 1e30 }
    for i in run.x.indices { run.x[i] *= 1e-30 }
    let result = run.execute(threads: 1)
    for (name, values) in zip(Self.names, result.fast) {
      let isFinite = values.allSatisfy { $0.isFinite }
      #expect(isFinite, "\(name)")
    }
  }

  /// Inputs of one run.
  struct Run {
    let c: Case
    var x, dt, aLog, b, reads, state, dout, dstate: [Float]

    init(_ c: Case) {
      self.c = c
      let tokens = c.batch * c.length
      let channels = tokens * c.heads * c.headDim
      let states = c.batch * c.heads * c.headDim * c.stateSize
      x = normals(channels, "x")
      b = normals(tokens * c.groups * c.stateSize, "b")
      reads = normals(tokens * c.groups * c.stateSize, "c")
      aLog = normals(c.heads, "a")
      state = normals(states, "s")
      dout = normals(channels, "dy")
      dstate = normals(states, "ds")
      var random = CounterRandom(seed: 3, purpose: "gate")
      // Mostly around the typical gate, some tokens with the gate nearly open, a few nearly shut.
      dt = (0..<(tokens * c.heads)).map { [aLog] i in
        let kind = random.uniform()
        let gate = c.gate * (kind < 0.1 ? 0.001 : kind < 0.97 ? 2 * random.uniform() : 4)
        return Float(gate / exp(Double(aLog[i % c.heads])))
      }
    }

    /// `[rows, x | B | C]` from the three.
    private func packed(_ stride: Int) -> [Float] {
      let (wide, narrow) = (c.heads * c.headDim, c.groups * c.stateSize)
      return (0..<(c.batch * c.length)).flatMap { row -> [Float] in
        Array(x[(row * wide)..<((row + 1) * wide)])
          + Array(b[(row * narrow)..<((row + 1) * narrow)])
          + Array(reads[(row * narrow)..<((row + 1) * narrow)])
          + Array(repeating: Float.nan, count: stride - wide - 2 * narrow)
      }
    }

    func execute(threads: Int) -> (fast: [[Float]], reference: [[Double]], intact: Bool) {
      configureBLAS()
      ThreadPool.configure(threadCount: threads, spins: 0)
      defer { ThreadPool.configure(threadCount: 1) }
      let (wide, narrow) = (c.heads * c.headDim, c.groups * c.stateSize)
      let stride = wide + 2 * narrow + 3
      let rows = c.batch * c.length
      let dims = SSDDims(
        batch: c.batch, length: c.length, heads: c.heads, headDim: c.headDim, groups: c.groups,
        stateSize: c.stateSize, inputStride: stride)
      let rate = aLog.map { -Float(exp(Double($0))) }
      let inputs = [packed(stride), self.dt, rate].map(Guarded.init)
      let row = inputs[0].pointer
      let arrays = SSDInputs(
        x: row, dt: inputs[1].pointer, rate: inputs[2].pointer, b: row + wide,
        c: row + wide + narrow)
      let (initial, dy, ds) = (Guarded(state), Guarded(dout), Guarded(dstate))
      let (y, final) = (Guarded(rows * wide), Guarded(dims.stateCount))
      let forwardScratch = Guarded(dims.forwardScratchCount)
      var forwardPlan = forwardScratch.plan
      chunkSSDForward(
        arrays, start: initial.pointer, into: y.pointer, final: final.pointer, nil, &forwardPlan,
        dims: dims)

      let (dinput, ddt) = (Guarded(rows * stride), Guarded(rows * c.heads))
      let daLog = Guarded([Float](repeating: 0, count: c.heads))
      let scratch = Guarded(dims.backwardScratchCount)
      let drow = dinput.pointer
      var plan = scratch.plan
      chunkSSDBackward(
        dy.pointer, arrays, start: initial.pointer, dstateInPlace: ds.pointer,
        into: SSDGradients(
          dx: drow, ddt: ddt.pointer, daLog: daLog.pointer, db: drow + wide,
          dc: drow + wide + narrow), nil, &plan, dims: dims)

      let d = dinput.values
      func columns(_ first: Int, _ count: Int) -> [Float] {
        (0..<rows).flatMap { Array(d[($0 * stride + first)..<($0 * stride + first + count)]) }
      }
      let buffers =
        inputs + [initial, dy, ds, y, final, forwardScratch, dinput, ddt, daLog, scratch]
      return (
        [
          y.values, final.values, columns(0, wide), ddt.values, daLog.values,
          columns(wide, narrow), columns(wide + narrow, narrow), ds.values,
        ], reference(), buffers.allSatisfy(\.isIntact)
      )
    }

    private func reference() -> [[Double]] {
      let reference = RecurrentSSD(
        batch: c.batch, length: c.length, heads: c.heads, headDim: c.headDim, groups: c.groups,
        stateSize: c.stateSize)
      let arrays = RecurrentSSD.Arrays(
        x: x.doubles, dt: dt.doubles, aLog: aLog.doubles, b: b.doubles, c: reads.doubles,
        state: state.doubles)
      let forward = reference.forward(arrays)
      let d = reference.backward(arrays, dout: dout.doubles, dstate: dstate.doubles)
      return [forward.y, forward.state, d.x, d.dt, d.aLog, d.b, d.c, d.state]
    }
  }
}

/// The token loop's own gradients, against finite differences.
@Suite("recurrent SSD")
struct RecurrentSSDTests {
  @Test("every gradient equals the central difference")
  func gradients() {
    let reference = RecurrentSSD(
      batch: 1, length: 5, heads: 4, headDim: 3, groups: 2, stateSize: 2)
    let x = RecurrentSSD.Arrays(
      x: normals(60, "x").doubles, dt: normals(20, "dt").map { abs(Double($0)) },
      aLog: normals(4, "a").doubles, b: normals(20, "b").doubles, c: normals(20, "c").doubles,
      state: normals(24, "s").doubles)
    let (dout, dstate) = (normals(60, "dy").doubles, normals(24, "ds").doubles)
    let d = reference.backward(x, dout: dout, dstate: dstate)
    func loss(_ x: RecurrentSSD.Arrays) -> Double {
      let (y, s) = reference.forward(x)
      return zip(y, dout).reduce(0) { $0 + $1.0 * $1.1 }
        + zip(s, dstate).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let paths: [WritableKeyPath<RecurrentSSD.Arrays, [Double]>] = [
      \.x, \.dt, \.aLog, \.b, \.c, \.state,
    ]
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
