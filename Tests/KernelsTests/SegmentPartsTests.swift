import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// Recurrences and convolutions that are cut into parts, one part after the other here, against the
/// whole in `Double`.
@Suite("parts of a sequence", .serialized)
struct SegmentPartsTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let (batch, length, parts, capacity): (Int, Int, Int, Int)
    /// Typical log gate a step.
    let gate: Double
    /// Lengths that the split must give.
    let lengths: [Int]
    var testDescription: String { "B\(batch) \(lengths), gate \(gate)" }
    var split: SegmentSplit { SegmentSplit(length: length, parts: parts, capacity: capacity) }

    /// A part's rows of `[B, T, width]`.
    func rows<Element>(_ x: [Element], _ part: Int) -> [Element] {
      let width = x.count / (batch * length)
      let range = split[part]
      return (0..<batch).flatMap { b in
        x[((b * length + range.lowerBound) * width)..<((b * length + range.upperBound) * width)]
      }
    }

    /// The whole `[B, T, width]` from the parts' rows.
    func joined(_ parts: [[Float]]) -> [Float] {
      (0..<batch).flatMap { b in
        parts.flatMap { $0[(b * $0.count / batch)..<((b + 1) * $0.count / batch)] }
      }
    }
  }

  static let cases = [
    Case(batch: 1, length: 64, parts: 1, capacity: 64, gate: -0.05, lengths: [64]),
    Case(batch: 1, length: 256, parts: 2, capacity: 128, gate: -0.02, lengths: [128, 128]),
    Case(batch: 2, length: 150, parts: 2, capacity: 128, gate: -0.05, lengths: [64, 86]),
    Case(batch: 1, length: 190, parts: 3, capacity: 64, gate: -0.3, lengths: [64, 64, 62]),
    Case(batch: 2, length: 197, parts: 3, capacity: 66, gate: -0.1, lengths: [65, 66, 66]),
    Case(batch: 1, length: 130, parts: 4, capacity: 64, gate: -3, lengths: [32, 33, 32, 33]),
    Case(batch: 2, length: 7, parts: 4, capacity: 2, gate: -0.5, lengths: [1, 2, 2, 2]),
    Case(batch: 2, length: 3, parts: 3, capacity: 64, gate: -0.5, lengths: [1, 1, 1]),
    Case(batch: 1, length: 192, parts: 2, capacity: 128, gate: -30, lengths: [64, 128]),
  ]

  @Test("parts follow each other, none is empty or too long", arguments: cases)
  func split(_ c: Case) {
    #expect((0..<c.parts).map { c.split[$0].count } == c.lengths)
    #expect((0..<c.parts).flatMap { Array(c.split[$0]) } == Array(0..<c.length))
    #expect(c.lengths.allSatisfy { 1...c.capacity ~= $0 })
  }

  @Test("every length that fits is cut into parts that fit")
  func splits() {
    for capacity in [1, 5, 64, 100, 128, 192] {
      for parts in 1...5 {
        for length in parts...(parts * capacity) {
          let split = SegmentSplit(length: length, parts: parts, capacity: capacity)
          var next = 0
          for part in 0..<parts {
            let range = split[part]
            #expect(range.lowerBound == next && 1...capacity ~= range.count)
            #expect(capacity % 64 != 0 || length <= (parts - 1) * 64 || next % 64 == 0)
            next = range.upperBound
          }
          #expect(next == length)
        }
      }
    }
  }

  /// Gates around the typical one, some nearly open; with `shut`, one token in forty lets nothing
  /// through.
  static func gates(_ count: Int, width: Int, _ gate: Double, shut: Bool) -> [Float] {
    var random = CounterRandom(seed: 3, purpose: "gate")
    return (0..<count).map { i in
      let kind = random.uniform()
      if shut && i / width % 40 == 20 { return -1e30 }
      return Float(gate * (kind < 0.1 ? 0.001 : 2 * random.uniform()))
    }
  }

  // MARK: GLA

  @Test("GLA: states, outputs and all gradients", arguments: cases, [false, true])
  func gla(_ c: Case, shut: Bool) {
    let (heads, keyDim, valueDim) = (2, 17, 70)
    let (keys, values) = (
      c.batch * c.length * heads * keyDim, c.batch * c.length * heads * valueDim
    )
    let (q, k, v) = (normals(keys, "q"), normals(keys, "k"), normals(values, "v"))
    let g = Self.gates(keys, width: heads * keyDim, c.gate, shut: shut)
    let states = c.batch * heads * keyDim * valueDim
    let (state, dstate, dout) = (normals(states, "s"), normals(states, "ds"), normals(values, "d"))

    func recurrence(_ length: Int) -> RecurrentGLA {
      RecurrentGLA(
        batch: c.batch, length: length, heads: heads, keyDim: keyDim, valueDim: valueDim)
    }
    func arrays(_ state: [Double], _ take: ([Double]) -> [Double]) -> RecurrentGLA.Arrays {
      RecurrentGLA.Arrays(
        q: take(q.doubles), k: take(k.doubles), v: take(v.doubles), g: take(g.doubles),
        state: state)
    }
    let whole = arrays(state.doubles) { $0 }
    let forward = recurrence(c.length).forward(whole)
    let backward = recurrence(c.length).backward(
      whole, dout: dout.doubles, dstate: dstate.doubles)

    let results = onAnyThreads {
      let parts = (0..<c.parts).map { part in
        glaPart(
          GLADims(
            batch: c.batch, length: c.lengths[part], heads: heads, keyDim: keyDim,
            valueDim: valueDim), [q, k, v, g, dout].map { c.rows($0, part) })
      }
      let run = RecurrencePart.run(parts, state: state, dstate: dstate)
      for part in parts { #expect(part.isIntact) }
      return [run.state, run.dstate] + run.shares
        + parts[0].outputs.indices.map { i in c.joined(parts.map { $0.outputs[i].values }) }
    }
    let zeros = [Double](repeating: 0, count: states)
    var expected = [forward.state, backward.state]
    for part in 0..<c.parts {
      let local = arrays(zeros) { c.rows($0, part) }
      expected.append(recurrence(c.lengths[part]).forward(local).state)
      let d = recurrence(c.lengths[part]).backward(
        local, dout: c.rows(dout.doubles, part), dstate: zeros)
      expected.append(d.state)
    }
    expected += [forward.o, backward.q, backward.k, backward.v, backward.g]
    for (index, (fast, reference)) in zip(results, expected).enumerated() {
      let error = relativeError(fast, reference)
      #expect(error < (index == expected.count - 1 ? 5e-6 : 2e-6), "\(index): \(error)")
    }
    #expect(results.count == expected.count)
  }

  // MARK: SSD

  @Test("SSD: states, outputs and all gradients", arguments: cases, [false, true])
  func ssd(_ c: Case, shut: Bool) {
    let (heads, headDim, groups, stateSize) = (6, 25, 2, 9)
    let (wide, narrow) = (heads * headDim, groups * stateSize)
    let rows = c.batch * c.length
    let (x, b, reads) = (
      normals(rows * wide, "x"), normals(rows * narrow, "b"), normals(rows * narrow, "c")
    )
    let dt = Self.gates(rows * heads, width: heads, c.gate, shut: shut).map { -$0 }
    // A step that shuts the gate also scales the input.
    let aLog = [Float](repeating: 0, count: heads)
    let small = x.enumerated().map { i, x in
      dt[i / wide * heads + i % wide / headDim] > 1e20 ? x * 1e-30 : x
    }
    let states = c.batch * wide * stateSize
    let (state, dstate, dout) = (
      normals(states, "s"), normals(states, "ds"), normals(rows * wide, "dy")
    )

    func recurrence(_ length: Int) -> RecurrentSSD {
      RecurrentSSD(
        batch: c.batch, length: length, heads: heads, headDim: headDim, groups: groups,
        stateSize: stateSize)
    }
    func arrays(_ state: [Double], _ take: ([Double]) -> [Double]) -> RecurrentSSD.Arrays {
      RecurrentSSD.Arrays(
        x: take(small.doubles), dt: take(dt.doubles), aLog: aLog.doubles, b: take(b.doubles),
        c: take(reads.doubles), state: state)
    }
    let whole = arrays(state.doubles) { $0 }
    let forward = recurrence(c.length).forward(whole)
    let backward = recurrence(c.length).backward(
      whole, dout: dout.doubles, dstate: dstate.doubles)

    let packed = (0..<rows).flatMap { row -> [Float] in
      Array(small[(row * wide)..<((row + 1) * wide)])
        + Array(b[(row * narrow)..<((row + 1) * narrow)])
        + Array(reads[(row * narrow)..<((row + 1) * narrow)])
    }
    let results = onAnyThreads {
      let parts = (0..<c.parts).map { part in
        ssdPart(
          SSDDims(
            batch: c.batch, length: c.lengths[part], heads: heads, headDim: headDim,
            groups: groups, stateSize: stateSize, inputStride: wide + 2 * narrow),
          [packed, dt, dout].map { c.rows($0, part) }, aLog: aLog, wide: wide, narrow: narrow)
      }
      let run = RecurrencePart.run(parts, state: state, dstate: dstate)
      for part in parts { #expect(part.isIntact) }
      return [run.state, run.dstate] + run.shares
        + (0..<3).map { i in c.joined(parts.map { $0.outputs[i].values }) }
    }
    let zeros = [Double](repeating: 0, count: states)
    var expected = [forward.state, backward.state]
    for part in 0..<c.parts {
      let local = arrays(zeros) { c.rows($0, part) }
      expected.append(recurrence(c.lengths[part]).forward(local).state)
      let d = recurrence(c.lengths[part]).backward(
        local, dout: c.rows(dout.doubles, part), dstate: zeros)
      expected.append(d.state)
    }
    let dpacked = (0..<rows).flatMap { row -> [Double] in
      Array(backward.x[(row * wide)..<((row + 1) * wide)])
        + Array(backward.b[(row * narrow)..<((row + 1) * narrow)])
        + Array(backward.c[(row * narrow)..<((row + 1) * narrow)])
    }
    expected += [forward.y, backward.dt, dpacked]
    for (index, (fast, reference)) in zip(results, expected).enumerated() {
      let error = relativeError(fast, reference)
      #expect(error < 2e-6, "\(index): \(error)")
    }
    #expect(results.count == expected.count)
  }

  // MARK: Convolution

  @Test("convolution: outputs, tails and all gradients", arguments: cases, [1, 2, 4, 6])
  func convolution(_ c: Case, taps: Int) {
    configureBLAS()
    let channels = 5
    let count = c.batch * c.length * channels
    let tailCount = c.batch * (taps - 1) * channels
    let (x, dy) = (normals(count, "x"), normals(count, "dy"))
    let (tail, dtail) = (normals(tailCount, "tail"), normals(tailCount, "dtail"))
    let (weight, bias) = (normals(taps * channels, "w"), normals(channels, "b"))
    let single = SegmentSplit(length: c.length, parts: 1, capacity: c.length)
    let whole = ConvolutionParts(
      split: single, batch: c.batch, taps: taps, x: [x], dy: [dy], state: (tail, dtail),
      weight: weight, bias: bias)
    let parts = ConvolutionParts(
      split: c.split, batch: c.batch, taps: taps, x: (0..<c.parts).map { c.rows(x, $0) },
      dy: (0..<c.parts).map { c.rows(dy, $0) }, state: (tail, dtail), weight: weight,
      bias: bias)
    #expect(c.joined(parts.y) == whole.y[0])
    #expect(relativeError(c.joined(parts.dx), whole.dx[0].doubles) < 1e-6)
    #expect(parts.tail == whole.tail)
    #expect(relativeError(parts.dtail, whole.dtail.doubles) < 1e-6)
    #expect(relativeError(parts.dweight, whole.dweight.doubles) < 2e-6)
    #expect(relativeError(parts.dbias, whole.dbias.doubles) < 2e-6)
  }
}
