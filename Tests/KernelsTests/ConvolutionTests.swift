import Kernels
import ReferenceKernels
import TensorStorage
import Testing

/// The causal convolution with its tail, against plain loops in `Double`.
@Suite("causal convolution", .serialized)
struct ConvolutionTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let (batch, length, channels, taps): (Int, Int, Int, Int)
    let hasBias: Bool
    /// Every so many tokens a document begins; the first one has two tokens before the segment.
    var document: Int?
    var testDescription: String {
      "B\(batch) T\(length) D\(channels) W\(taps)\(hasBias ? " bias" : "")"
        + (document.map { " documents of \($0)" } ?? "")
    }
    func history(_ t: Int) -> Int { document.map { (t + 2) % $0 } ?? Int(Int32.max) }
  }

  static let cases = [
    Case(batch: 1, length: 1, channels: 1, taps: 1, hasBias: true),
    Case(batch: 2, length: 65, channels: 63, taps: 4, hasBias: true),
    Case(batch: 3, length: 100, channels: 5, taps: 4, hasBias: false),
    Case(batch: 2, length: 33, channels: 100, taps: 2, hasBias: true),
    // Shorter than the tail: part of it is handed on.
    Case(batch: 2, length: 1, channels: 65, taps: 4, hasBias: true),
    Case(batch: 2, length: 2, channels: 7, taps: 6, hasBias: false),
    Case(batch: 1, length: 3, channels: 8, taps: 4, hasBias: true),
    Case(batch: 2, length: 40, channels: 9, taps: 4, hasBias: true, document: 7),
    Case(batch: 2, length: 35, channels: 3, taps: 3, hasBias: false, document: 2),
    Case(batch: 1, length: 2, channels: 4, taps: 5, hasBias: true, document: 3),
  ]

  /// Inputs as one array: x, tail, weight, bias.
  private struct Inputs {
    var x: [Double]
    var tail: [Double]
    var weight: [Double]
    var bias: [Double]
  }

  /// Outputs and the next tail.
  private func reference(_ c: Case, _ input: Inputs) -> (y: [Double], tail: [Double]) {
    var (y, next) = ([Double](), [Double]())
    for b in 0..<c.batch {
      // Rows of time -(W - 1) and later.
      let (old, size) = ((c.taps - 1) * c.channels, c.length * c.channels)
      let rows =
        Array(input.tail[(b * old)..<((b + 1) * old)]) + input.x[(b * size)..<((b + 1) * size)]
      for t in 0..<c.length {
        for d in 0..<c.channels {
          var sum = c.hasBias ? input.bias[d] : 0
          for j in max(c.taps - 1 - c.history(t), 0)..<c.taps {
            sum += input.weight[d * c.taps + j] * rows[(t + j) * c.channels + d]
          }
          y.append(silu(sum))
        }
      }
      next += rows.suffix(old)
    }
    return (y, next)
  }

  @Test("outputs, next tail and all gradients", arguments: cases)
  func agrees(_ c: Case) {
    let dims = ConvolutionDims(
      batch: c.batch, length: c.length, channels: c.channels, taps: c.taps)
    let count = c.batch * c.length * c.channels
    let (x, tail) = (normals(count, "x"), normals(dims.tailCount, "tail"))
    let (weight, bias) = (normals(c.taps * c.channels, "w"), normals(c.channels, "b"))
    let (dy, dnext) = (normals(count, "dy"), normals(dims.tailCount, "dnext"))
    let counts = (0..<(c.batch * c.length)).map { Int32(c.history($0 % c.length)) }
    let results = counts.withUnsafeBufferPointer { counts in
      onAnyThreads {
        let history = c.document == nil ? DocumentHistory.none : DocumentHistory(counts.baseAddress)
        let (gx, gtail, gw) = (Guarded(x), Guarded(tail), Guarded(weight))
        let gb = c.hasBias ? Guarded(bias) : nil
        let arrays = ConvolutionArrays(
          x: gx.pointer, tail: gtail.pointer, weight: gw.pointer, bias: gb?.pointer,
          history: history)
        let (y, next, scratch) = (
          Guarded(count), Guarded(dims.tailCount), Guarded(dims.scratchCount)
        )
        causalConvolutionForward(
          arrays, into: y.pointer, nextTail: next.pointer, scratch: scratch.pointer, dims: dims)
        let (gdy, dtail) = (Guarded(dy), Guarded(dnext))
        let dw = Guarded([Float](repeating: 0, count: weight.count))
        let db = c.hasBias ? Guarded([Float](repeating: 0, count: c.channels)) : nil
        causalConvolutionBackward(
          gdy.pointer, arrays, into: gdy.pointer, dtailInPlace: dtail.pointer, dweight: dw.pointer,
          dbias: db?.pointer, scratch: scratch.pointer, dims: dims)
        // The tail moves inside its own memory.
        let (again, moved) = (Guarded(count), Guarded(tail))
        causalConvolutionForward(
          ConvolutionArrays(
            x: gx.pointer, tail: moved.pointer, weight: gw.pointer, bias: gb?.pointer,
            history: history),
          into: again.pointer, nextTail: moved.pointer, scratch: scratch.pointer, dims: dims)
        #expect(again.values == y.values && moved.values == next.values)
        expectIntact(gx, gtail, gw, gb, y, next, scratch, gdy, dtail, dw, db, again, moved)
        return [y.values, next.values, gdy.values, dtail.values, dw.values, db?.values ?? []]
      }
    }
    let inputs = Inputs(
      x: x.doubles, tail: tail.doubles, weight: weight.doubles, bias: bias.doubles)
    let expected = reference(c, inputs)
    #expect(relativeError(results[0], expected.y) < 2e-6)
    #expect(results[1].doubles == expected.tail)
    func loss(_ path: WritableKeyPath<Inputs, [Double]>, _ values: [Double]) -> Double {
      var changed = inputs
      changed[keyPath: path] = values
      let (y, tail) = reference(c, changed)
      return inner(dy.doubles, y) + inner(dnext.doubles, tail)
    }
    let paths: [(String, WritableKeyPath<Inputs, [Double]>, [Float])] = [
      ("dx", \.x, results[2]), ("dtail", \.tail, results[3]), ("dweight", \.weight, results[4]),
    ]
    for (name, path, gradient) in paths where !gradient.isEmpty {
      expectGradient(name, gradient, at: inputs[keyPath: path]) { loss(path, $0) }
    }
    if c.hasBias { expectGradient("dbias", results[5], at: inputs.bias) { loss(\.bias, $0) } }
  }

  @Test("a sequence in pieces equals the whole, whatever the pieces", arguments: [1, 2, 3, 7])
  func pieces(_ piece: Int) {
    let (length, channels, taps) = (20, 5, 4)
    let (x, weight) = (normals(length * channels, "x"), normals(taps * channels, "w"))
    let (gx, gw) = (Guarded(x), Guarded(weight))
    let state = Guarded([Float](repeating: 0, count: (taps - 1) * channels))
    let y = Guarded(length * channels)
    var first = 0
    while first < length {
      let dims = ConvolutionDims(
        batch: 1, length: min(piece, length - first), channels: channels, taps: taps)
      let scratch = Guarded(dims.scratchCount)
      causalConvolutionForward(
        ConvolutionArrays(
          x: gx.pointer + first * channels, tail: state.pointer, weight: gw.pointer, bias: nil),
        into: y.pointer + first * channels, nextTail: state.pointer, scratch: scratch.pointer,
        dims: dims)
      expectIntact(scratch, y, state)
      first += piece
    }
    let expected = causalConvolutionSiLU(
      x.doubles, weight: weight.doubles, batch: 1, channels: channels)
    #expect(relativeError(y.values, expected) < 2e-6)
  }
}
