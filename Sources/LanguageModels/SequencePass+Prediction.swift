import Kernels
import Layers
import TensorStorage

extension LanguageModel {
  /// The most likely next token of the rows that count, of the segment that `forward` ran last.
  ///
  /// - Parameters:
  ///   - weights: `[B, T]`; rows of weight 0 are not computed.
  ///   - limit: only ids below it are predicted; nil for all.
  ///   - parameters: the arena of parameters.
  ///   - predictions: `[B, T]`, overwritten; -1 where the weight is 0 or the logits are not numbers.
  ///   - activations: what `forward` left.
  ///   - dims: the segment's.
  public func predictions(
    counting weights: UnsafePointer<Float>, below limit: Int? = nil, parameters: Floats,
    into predictions: UnsafeMutablePointer<Int32>, _ activations: SegmentActivations,
    dims: SegmentDims
  ) {
    normOutput(parameters: parameters, activations, dims: dims)
    let headDims = LinearCrossEntropyDims(
      rows: dims.rows, width: width, vocabulary: min(limit ?? vocabulary, vocabulary))
    var plan = activations.scratch
    linearArgmax(
      activations.normed, weight: parameters + head, counting: weights, into: predictions,
      scratch: plan.take(headDims.scratchCount), dims: headDims)
  }
}

extension SequencePass {
  /// Runs the sequences forward from a zero state and predicts at the positions that count.
  ///
  /// - Parameters:
  ///   - samples: `[B, T]` inputs, targets and weights.
  ///   - parameters: the arena of parameters.
  ///   - predictions: `[B, T]`, overwritten: the most likely token after each position whose weight
  ///     is not 0, -1 elsewhere.
  public func predict(
    _ samples: SequenceSamples, parameters: Floats,
    into predictions: UnsafeMutablePointer<Int32>
  ) {
    begin()
    zero(state.pointer, count: state.count)
    let found = UnsafeMutablePointer<Int32>.allocate(capacity: dims.batch * plan.segmentLength)
    defer { found.deallocate() }
    for segment in 0..<segmentCount {
      guard goesOn() else { return }
      let part = segmentDims(segment)
      let input = load(segment, of: samples)
      model.forward(
        input, parameters: parameters, stateInPlace: state.pointer, activations, dims: part)
      model.predictions(
        counting: weights, parameters: parameters, into: found, activations, dims: part)
      for b in 0..<dims.batch {
        (predictions + b * dims.length + range(segment).lowerBound)
          .update(from: found + b * part.length, count: part.length)
      }
      atSegmentEnd?(state.pointer)
    }
  }
}
