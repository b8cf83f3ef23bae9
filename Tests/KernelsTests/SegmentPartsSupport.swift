import Kernels
import TensorStorage

/// One part of a shared sequence: a recurrence's rows of it, and the memory of its passes.
final class RecurrencePart<Recurrence: ChunkedRecurrence> {
  let recurrence: Recurrence
  private let x: Recurrence.Inputs
  private let gradients: Recurrence.Gradients
  private let dout: Guarded
  /// The outputs, then what was given as gradients' memory.
  let outputs: [Guarded]
  private let inputs: [Guarded]
  private let forwardScratch, backwardScratch, start, dend: Guarded

  /// Names the memory.
  ///
  /// - Parameters:
  ///   - recurrence: the sizes of this part.
  ///   - inputs: memory that `x` points to.
  ///   - x: the inputs.
  ///   - dout: the gradient of the outputs.
  ///   - results: memory that `gradients` points to.
  ///   - gradients: where gradients go.
  init(
    _ recurrence: Recurrence, _ inputs: [Guarded], _ x: Recurrence.Inputs, dout: Guarded,
    _ results: [Guarded], _ gradients: Recurrence.Gradients
  ) {
    (self.recurrence, self.x, self.gradients) = (recurrence, x, gradients)
    (self.dout, self.inputs) = (dout, inputs + [dout])
    outputs = [Guarded(dout.count)] + results
    forwardScratch = Guarded(recurrence.forwardScratchCount)
    backwardScratch = Guarded(recurrence.backwardScratchCount)
    (start, dend) = (Guarded(recurrence.stateCount), Guarded(recurrence.stateCount))
  }

  var isIntact: Bool {
    (inputs + outputs + [forwardScratch, backwardScratch, start, dend]).allSatisfy(\.isIntact)
  }

  /// Runs all parts forward and backward, a phase at a time.
  ///
  /// - Returns: the state after the last part, the gradient of that before the first, and of each
  ///   part its local state and local state gradient.
  static func run(_ parts: [RecurrencePart], state: [Float], dstate: [Float]) -> (
    state: [Float], dstate: [Float], shares: [[Float]]
  ) {
    let ahead = fold(parts, .forward, state, own: \.start) { part, shares, index in
      var plan = part.forwardScratch.plan
      let s = part.recurrence.scratch(&plan, backward: false)
      part.recurrence.prepare(part.x, s)
      part.recurrence.storeLocalState(part.x, s, into: shares, part: index)
      return {
        let end = Guarded(part.recurrence.stateCount)
        part.recurrence.output(
          part.x, s, start: part.start.pointer, into: part.outputs[0].pointer,
          final: end.pointer)
        precondition(end.isIntact)
      }
    }
    let back = fold(parts, .backward, dstate, own: \.dend) { part, shares, index in
      var plan = part.backwardScratch.plan
      let s = part.recurrence.scratch(&plan, backward: true)
      let states = part.recurrence.spanStates(&plan)
      part.recurrence.prepareBackward(part.dout.pointer, part.x, s)
      part.recurrence.storeLocalGradient(
        part.dout.pointer, part.x, s, into: shares, part: index)
      return {
        part.recurrence.backward(
          part.dout.pointer, part.x, s, states, start: part.start.pointer,
          dstateInPlace: part.dend.pointer, into: part.gradients)
      }
    }
    let locals = zip(ahead.locals, back.locals).flatMap { [$0, $1] }
    return (ahead.value, back.value, locals)
  }

  /// Local values of all parts, each part's fold over them, and what follows it.
  private static func fold(
    _ parts: [RecurrencePart], _ direction: FoldDirection, _ value: [Float],
    own: (RecurrencePart) -> Guarded,
    _ local: (RecurrencePart, StateShares, Int) -> () -> Void
  ) -> (value: [Float], locals: [[Float]]) {
    let recurrence = parts[0].recurrence
    let count = recurrence.stateCount + recurrence.transitionCount
    let memory = Guarded(parts.count * count)
    var plan = memory.plan
    let shares = recurrence.shares(&plan, parts: parts.count)
    let rest = parts.enumerated().map { local($1, shares, $0) }
    let locals = parts.indices.map { floats(shares.state(of: $0), recurrence.stateCount) }
    var values: [[Float]] = []
    for (index, part) in parts.enumerated() {
      // A fold uses its shares up.
      let copy = Guarded(memory.values)
      var plan = copy.plan
      let shares = part.recurrence.shares(&plan, parts: parts.count)
      let running = Guarded(value)
      part.recurrence.fold(
        shares, direction, part: index, stateInPlace: running.pointer,
        into: own(part).pointer)
      rest[index]()
      values.append(running.values)
      precondition(running.isIntact && copy.isIntact)
    }
    precondition(memory.isIntact && Set(values).count == 1, "parts differ")
    return (values[0], locals)
  }
}

/// A GLA recurrence over q, k, v and g, and the gradient of its output.
func glaPart(_ dims: GLADims, _ inputs: [[Float]]) -> RecurrencePart<GLADims> {
  let (x, d) = (inputs.map { Guarded($0) }, inputs.dropLast().map { Guarded($0.count) })
  return RecurrencePart(
    dims, Array(x.dropLast()),
    GLAInputs(q: x[0].pointer, k: x[1].pointer, v: x[2].pointer, g: x[3].pointer), dout: x[4],
    d,
    GLAGradients(dq: d[0].pointer, dk: d[1].pointer, dv: d[2].pointer, dg: d[3].pointer))
}

/// A state space recurrence over packed x, B and C, and dt, and the gradient of its output; its gradients
/// are those of dt, of the packed inputs and of `A_log`.
func ssdPart(
  _ dims: SSDDims, _ inputs: [[Float]], aLog: [Float], wide: Int, narrow: Int
) -> RecurrencePart<SSDDims> {
  let (logs, rate) = (Guarded(aLog), Guarded([Float](repeating: 0, count: aLog.count)))
  decayRates(logs.pointer, into: rate.pointer, heads: aLog.count)
  let x = inputs.map { Guarded($0) }
  let d = [Guarded(x[1].count), Guarded(x[0].count), Guarded(aLog.map { _ in 0 })]
  let (row, drow) = (x[0].pointer, d[1].pointer)
  return RecurrencePart(
    dims, [x[0], x[1], logs, rate],
    SSDInputs(
      x: row, dt: x[1].pointer, rate: rate.pointer, b: row + wide, c: row + wide + narrow),
    dout: x[2], d,
    SSDGradients(
      dx: drow, ddt: d[0].pointer, daLog: d[2].pointer, db: drow + wide,
      dc: drow + wide + narrow))
}

/// A convolution in parts: what its passes give.
struct ConvolutionParts {
  private(set) var y: [[Float]] = []
  private(set) var dx: [[Float]] = []
  let tail, dtail, dweight, dbias: [Float]

  init(
    split: SegmentSplit, batch: Int, taps: Int, x: [[Float]], dy: [[Float]],
    state: (tail: [Float], dtail: [Float]), weight: [Float], bias: [Float]
  ) {
    func dims(_ part: Int) -> ConvolutionDims {
      ConvolutionDims(
        batch: batch, length: split[part].count, channels: bias.count, taps: taps)
    }
    let count = dims(0).tailCount
    let (weight, bias) = (Guarded(weight), Guarded(bias))
    let (dweight, dbias) = (
      Guarded([Float](repeating: 0, count: weight.count)),
      Guarded([Float](repeating: 0, count: bias.count))
    )
    let (shares, dshares) = (Guarded(split.parts * count), Guarded(split.parts * count))
    let inputs = x.map { Guarded($0) }
    for part in 0..<split.parts {
      convolutionShare(
        inputs[part].pointer, into: shares.pointer + part * count, dims: dims(part))
    }
    let all = ConvolutionShares(shares.pointer, stride: count, split: split)
    var (tails, dxs): ([Guarded], [Guarded]) = ([], [])
    for part in 0..<split.parts {
      let (running, own) = (Guarded(state.tail), Guarded(count))
      foldConvolutionTails(
        all, part: part, tailInPlace: running.pointer, into: own.pointer, dims: dims(part))
      tails.append(running)
      let arrays = ConvolutionArrays(
        x: inputs[part].pointer, tail: own.pointer, weight: weight.pointer, bias: bias.pointer)
      let (out, scratch) = (Guarded(x[part].count), Guarded(dims(part).scratchCount))
      causalConvolutionForward(
        arrays, into: out.pointer, nextTail: nil, scratch: scratch.pointer, dims: dims(part))
      y.append(out.values)
      let (dx, dtail) = (Guarded(dy[part]), dshares.pointer + part * count)
      dtail.update(repeating: 0, count: count)
      causalConvolutionBackward(
        dx.pointer, arrays, into: dx.pointer, dtailInPlace: dtail, dweight: dweight.pointer,
        dbias: dbias.pointer, scratch: scratch.pointer, dims: dims(part))
      dxs.append(dx)
      precondition(own.isIntact && scratch.isIntact && out.isIntact && dx.isIntact)
    }
    let allGradients = ConvolutionShares(dshares.pointer, stride: count, split: split)
    var dtails: [[Float]] = []
    for part in 0..<split.parts {
      let (running, own) = (Guarded(state.dtail), Guarded(count))
      foldConvolutionTailGradients(
        allGradients, part: part, dtailInPlace: running.pointer, into: own.pointer,
        dims: dims(part))
      dtails.append(running.values)
      addConvolutionTailGradient(
        own.pointer, accumulatingInto: dxs[part].pointer, dims: dims(part))
      precondition(dxs[part].isIntact && own.isIntact)
      dx.append(dxs[part].values)
    }
    precondition(Set(tails.map(\.values)).count == 1 && Set(dtails).count == 1)
    precondition(
      ([shares, dshares, weight, bias, dweight, dbias] + inputs).allSatisfy(\.isIntact))
    (tail, dtail) = (tails[0].values, dtails[0])
    (self.dweight, self.dbias) = (dweight.values, dbias.values)
  }
}

func floats(_ pointer: UnsafePointer<Float>, _ count: Int) -> [Float] {
  Array(UnsafeBufferPointer(start: pointer, count: count))
}
