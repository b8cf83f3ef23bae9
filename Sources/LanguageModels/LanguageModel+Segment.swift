import ErrorReporting
import Kernels
import Layers
import TensorStorage

/// Where a segment's tokens are read.
public struct SegmentTokens {
  /// Input tokens `[B, T]`, each below the vocabulary.
  public var tokens: UnsafePointer<Int32>
  /// Where documents begin among them.
  public var history: DocumentHistory
  /// The part of a shared segment that they are; nil when they are all of it.
  public var part: SegmentPart?

  /// Names the arrays.
  public init(
    _ tokens: UnsafePointer<Int32>, history: DocumentHistory = .none, part: SegmentPart? = nil
  ) {
    self.tokens = tokens
    self.history = history
    self.part = part
  }
}

extension LanguageModel {
  /// Runs the embeddings and blocks over a segment.
  ///
  /// - Parameters:
  ///   - input: the segment's tokens.
  ///   - parameters: the parameter arena.
  ///   - state: the state before the segment; overwritten with that after it.
  ///   - activations: the activations of the segment that runs.
  ///   - dims: the sizes.
  ///   - wantsOutput: whether anything but the state is wanted of the last block.
  ///   - observe: called with (block index, its output) after each block.
  public func forward(
    _ input: SegmentTokens, parameters: Floats, stateInPlace state: Floats,
    _ activations: SegmentActivations, dims: SegmentDims, wantsOutput: Bool = true,
    observe: ((Int, UnsafePointer<Float>) -> Void)? = nil
  ) {
    requireFit(dims, activations)
    for row in 0..<dims.rows {
      require(
        0..<vocabulary ~= Int(input.tokens[row]),
        "token \(input.tokens[row]) of a vocabulary of \(vocabulary)")
    }
    embeddingForward(
      input.tokens, table: parameters + embeddings, into: activations.streams[0], rows: dims.rows,
      width: width)
    var state = state
    for index in blocks.indices {
      let block = blocks[index]
      let output = activations.output(of: index)
      let isWanted = wantsOutput || index < blocks.count - 1
      var context = context(parameters, activations, index, dims, input)
      block.forward(
        activations.input(of: index), into: isWanted ? output : nil, stateInPlace: state,
        &context)
      state += block.stateCount(batch: dims.batch)
      observe?(index, UnsafePointer(output))
    }
  }

  /// Runs the final norm and the head over the segment that `forward` ran last.
  ///
  /// - Parameters:
  ///   - wanted: targets `[B, T]` and weights of the segment's rows.
  ///   - parameters: the parameter arena.
  ///   - gradients: the arena of gradients, added to; nil to compute the loss only. With gradients,
  ///     `backward` must follow.
  ///   - activations: the activations of the segment that runs.
  ///   - dims: the sizes.
  /// - Returns: sum of `weight * nll` over the segment, not scaled.
  public func loss(
    _ wanted: CrossEntropyTargets, parameters: Floats, gradients: Floats?,
    _ activations: SegmentActivations, dims: SegmentDims
  ) -> Double {
    requireFit(dims, activations)
    normOutput(parameters: parameters, activations, dims: dims)
    let headDims = LinearCrossEntropyDims(rows: dims.rows, width: width, vocabulary: vocabulary)
    var plan = activations.scratch
    return linearCrossEntropy(
      activations.normed, weight: parameters + head, against: wanted, nll: activations.nll,
      gradients: gradients.map {
        LinearCrossEntropyGradients(
          dhidden: activations.normed, dweight: trainable == .all ? $0 + head : nil)
      },
      scratch: plan.take(headDims.scratchCount), dims: headDims)
  }

  /// The final norm of the last block's output.
  func normOutput(parameters: Floats, _ activations: SegmentActivations, dims: SegmentDims) {
    rmsNormForward(
      activations.output(of: blocks.count - 1), weight: parameters + finalNorm,
      into: activations.normed, rstd: activations.finalRstd, rows: dims.rows, width: width,
      epsilon: configuration.normEpsilon)
  }

  /// Gradients of the segment that `forward` and `loss` ran last.
  ///
  /// Goes down to the lowest block that is trained: below it `dstate` is not touched.
  ///
  /// - Parameters:
  ///   - input: the segment's tokens.
  ///   - parameters: the parameter arena.
  ///   - gradients: the arena of gradients, added to.
  ///   - states: the state *before* the segment.
  ///   - dstate: in, the gradient of the state after the segment; out, of that before it.
  ///   - activations: the activations of the segment that runs.
  ///   - dims: the sizes.
  ///   - observe: called with (block index, gradient of its input) after each block, last to first.
  public func backward(
    _ input: SegmentTokens, parameters: Floats, gradients: Floats, states: Floats,
    dstateInPlace dstate: Floats, _ activations: SegmentActivations, dims: SegmentDims,
    observe: ((Int, UnsafePointer<Float>) -> Void)? = nil
  ) {
    requireFit(dims, activations)
    // The head left the gradient of the normed rows there; from now on it is that of the stream.
    let dx = activations.normed
    var plan = activations.scratch
    rmsNormBackward(
      dx, x: activations.output(of: blocks.count - 1), weight: parameters + finalNorm,
      rstd: activations.finalRstd, into: dx, accumulate: false,
      dweight: trainable == .all ? gradients + finalNorm : nil,
      scratch: plan.take(RowTiles(dims.rows).count * width), rows: dims.rows, width: width)
    var offset = stateCount(batch: dims.batch)
    for index in (trainable.lowestBlock..<blocks.count).reversed() {
      let block = blocks[index]
      offset -= block.stateCount(batch: dims.batch)
      var context = context(parameters, activations, index, dims, input)
      context.gradients = trainable.containsBlock(index) ? gradients : nil
      block.backward(
        inPlace: dx, x: activations.input(of: index), state: states + offset,
        dstateInPlace: dstate + offset, &context)
      observe?(index, UnsafePointer(dx))
    }
    guard trainable == .all else { return }
    embeddingBackward(
      dx, tokens: input.tokens, accumulatingInto: gradients + embeddings, rows: dims.rows,
      width: width)
  }

  /// Logits of one row of the segment that `forward` ran last.
  ///
  /// - Parameters:
  ///   - row: index in `[B * T]`.
  ///   - parameters: the parameter arena.
  ///   - logits: `[V]`, overwritten.
  ///   - activations: the activations of the segment that runs.
  ///   - dims: the sizes.
  public func logits(
    row: Int, parameters: Floats, into logits: Floats, _ activations: SegmentActivations,
    dims: SegmentDims
  ) {
    normOutput(parameters: parameters, activations, dims: dims)
    matrixProduct(
      Matrix(activations.normed + row * width, 1, width),
      Matrix(parameters + head, vocabulary, width).transposed, into: Matrix(logits, 1, vocabulary))
  }

  /// Requires that activations are large enough for a segment.
  private func requireFit(_ dims: SegmentDims, _ activations: SegmentActivations) {
    let most = activations.dims
    require(
      dims.batch <= most.batch && dims.length <= most.length && dims.parts == most.parts,
      "a segment of \(dims.batch) x \(dims.length) tokens (\(dims.parts) parts) in activations of"
        + " \(most.batch) x \(most.length) (\(most.parts) parts)")
  }

  private func context(
    _ parameters: Floats, _ activations: SegmentActivations, _ index: Int, _ dims: SegmentDims,
    _ input: SegmentTokens
  ) -> BlockContext {
    BlockContext(
      parameters: parameters, saved: activations.saved[index % activations.saved.count],
      scratch: activations.scratch, dims: dims, history: input.history, part: input.part)
  }
}

extension SegmentActivations {
  func input(of block: Int) -> Floats { streams[block % streams.count] }
  func output(of block: Int) -> Floats { streams[(block + 1) % streams.count] }
}
