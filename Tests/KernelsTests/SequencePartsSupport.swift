import Kernels
import TensorStorage

/// One part of a GLA recurrence: its rows and the memory of its passes.
final class GLAPart {
  let dims: GLADims
  /// q, k, v, g and the gradient of the output.
  let inputs: [Guarded]
  /// o, dq, dk, dv, dg.
  let outputs: [Guarded]
  private let forwardScratch, backwardScratch, start, dend: Guarded

  init(dims: GLADims, inputs: [Guarded]) {
    self.dims = dims
    self.inputs = inputs
    outputs = [2, 0, 1, 2, 3].map { Guarded(inputs[$0].count) }
    forwardScratch = Guarded(dims.forwardScratchCount)
    backwardScratch = Guarded(dims.backwardScratchCount)
    (start, dend) = (Guarded(dims.stateCount), Guarded(dims.stateCount))
  }

  var x: GLAInputs {
    GLAInputs(
      q: inputs[0].pointer, k: inputs[1].pointer, v: inputs[2].pointer, g: inputs[3].pointer)
  }

  var isIntact: Bool {
    (inputs + outputs + [forwardScratch, backwardScratch, start, dend]).allSatisfy(\.isIntact)
  }

  /// Runs all parts forward and backward.
  ///
  /// - Returns: the state after the last part, the gradient of that before the first, and of each
  ///   part its local state and local state gradient.
  static func run(_ parts: [GLAPart], state: [Float], dstate: [Float]) -> (
    state: [Float], dstate: [Float], shares: [[Float]]
  ) {
    let dims = parts[0].dims
    let memory = (0..<2).map { _ in Guarded(parts.count * dims.shareCount) }
    let shares = memory.map { dims.shares($0.pointer, parts: parts.count) }
    for (index, part) in parts.enumerated() {
      chunkGLAPrepare(part.x, scratch: part.forwardScratch.pointer, dims: part.dims)
      chunkGLALocalState(
        part.x, into: shares[0], part: index, scratch: part.forwardScratch.pointer,
        dims: part.dims)
    }
    var finals: [[Float]] = []
    for (index, part) in parts.enumerated() {
      let running = Guarded(state)
      foldGLAStates(
        shares[0], .forward, part: index, stateInPlace: running.pointer,
        into: part.start.pointer, dims: part.dims)
      finals.append(running.values)
      let end = Guarded(dims.stateCount)
      chunkGLAOutput(
        part.x, initialState: part.start.pointer, into: part.outputs[0].pointer,
        finalState: end.pointer, scratch: part.forwardScratch.pointer, dims: part.dims)
      precondition(end.isIntact)
    }
    for (index, part) in parts.enumerated() {
      let scratch = part.backwardScratch.pointer
      chunkGLAPrepareBackward(part.inputs[4].pointer, part.x, scratch: scratch, dims: part.dims)
      chunkGLALocalStateGradient(
        part.inputs[4].pointer, into: shares[1], part: index, scratch: scratch, dims: part.dims)
    }
    var firsts: [[Float]] = []
    for (index, part) in parts.enumerated() {
      let running = Guarded(dstate)
      foldGLAStates(
        shares[1], .backward, part: index, stateInPlace: running.pointer,
        into: part.dend.pointer, dims: part.dims)
      firsts.append(running.values)
      let d = part.outputs.map(\.pointer)
      chunkGLAGradients(
        part.inputs[4].pointer, part.x, initialState: part.start.pointer,
        dstateInPlace: part.dend.pointer,
        into: GLAGradients(dq: d[1], dk: d[2], dv: d[3], dg: d[4]),
        scratch: part.backwardScratch.pointer, dims: part.dims)
    }
    let locals = parts.indices.flatMap { part in
      shares.map { floats($0.state(of: part), dims.stateCount) }
    }
    precondition(memory.allSatisfy(\.isIntact) && Set(finals).count == 1 && Set(firsts).count == 1)
    return (finals[0], firsts[0], locals)
  }
}

/// One part of a state space recurrence: its rows and the memory of its passes.
final class SSDPart {
  let dims: SSDDims
  /// The packed x, B and C; dt; and the gradient of the output.
  let inputs: [Guarded]
  /// y, ddt, and the packed gradients of x, B and C.
  let outputs: [Guarded]
  private let (wide, narrow): (Int, Int)
  private let rate, daLog, forwardScratch, backwardScratch, start, dend: Guarded

  init(dims: SSDDims, inputs: [Guarded], aLog: [Float], wide: Int, narrow: Int) {
    self.dims = dims
    self.inputs = inputs
    (self.wide, self.narrow) = (wide, narrow)
    rate = Guarded([Float](repeating: 0, count: aLog.count))
    let logs = Guarded(aLog)
    decayRates(logs.pointer, into: rate.pointer, heads: aLog.count)
    precondition(logs.isIntact)
    daLog = Guarded([Float](repeating: 0, count: aLog.count))
    outputs = [2, 1, 0].map { Guarded(inputs[$0].count) }
    forwardScratch = Guarded(dims.forwardScratchCount)
    backwardScratch = Guarded(dims.backwardScratchCount)
    (start, dend) = (Guarded(dims.stateCount), Guarded(dims.stateCount))
  }

  var x: SSDInputs {
    let row = inputs[0].pointer
    return SSDInputs(
      x: row, dt: inputs[1].pointer, rate: rate.pointer, b: row + wide, c: row + wide + narrow)
  }

  private var gradients: SSDGradients {
    let row = outputs[2].pointer
    return SSDGradients(
      dx: row, ddt: outputs[1].pointer, daLog: daLog.pointer, db: row + wide,
      dc: row + wide + narrow)
  }

  var isIntact: Bool {
    (inputs + outputs + [rate, daLog, forwardScratch, backwardScratch, start, dend])
      .allSatisfy(\.isIntact)
  }

  /// Runs all parts forward and backward; see `GLAPart.run`.
  static func run(_ parts: [SSDPart], state: [Float], dstate: [Float]) -> (
    state: [Float], dstate: [Float], shares: [[Float]]
  ) {
    let dims = parts[0].dims
    let memory = (0..<2).map { _ in Guarded(parts.count * dims.shareCount) }
    let shares = memory.map { dims.shares($0.pointer, parts: parts.count) }
    for (index, part) in parts.enumerated() {
      chunkSSDPrepare(part.x, scratch: part.forwardScratch.pointer, dims: part.dims)
      chunkSSDLocalState(
        part.x, into: shares[0], part: index, scratch: part.forwardScratch.pointer,
        dims: part.dims)
    }
    var finals: [[Float]] = []
    for (index, part) in parts.enumerated() {
      let running = Guarded(state)
      foldSSDStates(
        shares[0], .forward, part: index, stateInPlace: running.pointer,
        into: part.start.pointer, dims: part.dims)
      finals.append(running.values)
      let end = Guarded(dims.stateCount)
      chunkSSDOutput(
        part.x, initialState: part.start.pointer, into: part.outputs[0].pointer,
        finalState: end.pointer, scratch: part.forwardScratch.pointer, dims: part.dims)
      precondition(end.isIntact)
    }
    for (index, part) in parts.enumerated() {
      let scratch = part.backwardScratch.pointer
      chunkSSDPrepareBackward(part.inputs[2].pointer, part.x, scratch: scratch, dims: part.dims)
      chunkSSDLocalStateGradient(
        part.x, into: shares[1], part: index, scratch: scratch, dims: part.dims)
    }
    var firsts: [[Float]] = []
    for (index, part) in parts.enumerated() {
      let running = Guarded(dstate)
      foldSSDStates(
        shares[1], .backward, part: index, stateInPlace: running.pointer,
        into: part.dend.pointer, dims: part.dims)
      firsts.append(running.values)
      chunkSSDGradients(
        part.inputs[2].pointer, part.x, initialState: part.start.pointer,
        dstateInPlace: part.dend.pointer, into: part.gradients,
        scratch: part.backwardScratch.pointer, dims: part.dims)
    }
    let locals = parts.indices.flatMap { part in
      shares.map { floats($0.state(of: part), dims.stateCount) }
    }
    precondition(memory.allSatisfy(\.isIntact) && Set(finals).count == 1 && Set(firsts).count == 1)
    return (finals[0], firsts[0], locals)
  }
}

/// A convolution in parts: what its passes give.
struct ConvolutionParts {
  private(set) var y: [[Float]] = []
  private(set) var dx: [[Float]] = []
  let tail, dtail, dweight, dbias: [Float]

  init(
    split: SequenceSplit, batch: Int, taps: Int, x: [[Float]], dy: [[Float]],
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
