import Kernels
import Layers
import TensorStorage

/// The gradient of whole sequences, one segment of activations at a time.
///
/// A sequence longer than a segment is run forward first, keeping only the recurrent state at each
/// segment's start. Then, from the last segment to the first, the segment is run again, its loss and
/// its backward pass are computed, and the gradient of the state is handed to the segment before. The
/// result is the gradient over the whole sequence, to rounding; activation memory is that of one
/// segment; the cost is one more forward pass of the blocks.
public final class SequencePass {
  /// The model whose gradient this computes.
  public let model: LanguageModel
  /// Sequences and tokens of each.
  public let dims: SegmentDims
  /// Tokens of a segment.
  public let segmentLength: Int
  /// Activations of the segment that ran last.
  public let activations: SegmentActivations

  private let starts: FloatBuffer
  let state: FloatBuffer
  private let dstate: FloatBuffer
  let tokens: UnsafeMutablePointer<Int32>
  private let targets: UnsafeMutablePointer<Int32>
  let weights: UnsafeMutablePointer<Float>

  /// Called with what just happened in a block; for debugging.
  public struct Observer {
    /// (segment, block, the block's output `[B, T, D]`, rows).
    public var forward: (Int, Int, UnsafePointer<Float>, Int) -> Void
    /// (segment, block, gradient of the block's input `[B, T, D]`, rows).
    public var backward: (Int, Int, UnsafePointer<Float>, Int) -> Void

    /// Names the callbacks.
    public init(
      forward: @escaping (Int, Int, UnsafePointer<Float>, Int) -> Void,
      backward: @escaping (Int, Int, UnsafePointer<Float>, Int) -> Void
    ) {
      self.forward = forward
      self.backward = backward
    }
  }

  /// Watches every block when set.
  public var observer: Observer?

  /// Called with (block, gradient of its input) once the gradients of a block's parameters are those of
  /// the whole sequence, last block first: during the segment that is processed last.
  public var blockIsFinal: ((Int, UnsafePointer<Float>) -> Void)?

  /// Allocates for `batch` sequences of `length` tokens, `segmentLength` at a time.
  ///
  /// - Parameters:
  ///   - model: the model.
  ///   - batch: sequences that run together.
  ///   - length: tokens of a sequence.
  ///   - segmentLength: tokens of a segment, at most.
  ///   - trains: whether gradients will be wanted.
  public init(
    _ model: LanguageModel, batch: Int, length: Int, segmentLength: Int, trains: Bool = true
  ) {
    self.model = model
    self.dims = SegmentDims(batch: batch, length: length)
    self.segmentLength = min(segmentLength, length)
    let segment = SegmentDims(batch: batch, length: self.segmentLength)
    activations = SegmentActivations(model, dims: segment, trains: trains)
    let stateCount = model.stateCount(batch: batch)
    starts = FloatBuffer(
      count: trains ? stateCount * Self.segments(length, self.segmentLength) : 0)
    state = FloatBuffer(count: stateCount)
    dstate = FloatBuffer(count: trains ? stateCount : 0)
    tokens = .allocate(capacity: segment.rows)
    targets = .allocate(capacity: segment.rows)
    weights = .allocate(capacity: segment.rows)
  }

  deinit {
    tokens.deallocate()
    targets.deallocate()
    weights.deallocate()
  }

  private static func segments(_ length: Int, _ segmentLength: Int) -> Int {
    (length + segmentLength - 1) / segmentLength
  }

  /// Segments of a sequence.
  public var segmentCount: Int { Self.segments(dims.length, segmentLength) }

  /// Floats of memory that a training pass of this shape holds: activations, then states.
  public static func memory(
    _ model: LanguageModel, batch: Int, length: Int, segmentLength: Int
  ) -> (activations: Int, states: Int) {
    let segment = min(segmentLength, length)
    let activations = SegmentActivations.count(
      model, dims: SegmentDims(batch: batch, length: segment), trains: true)
    return (activations, model.stateCount(batch: batch) * (segments(length, segment) + 2))
  }

  func segmentDims(_ segment: Int) -> SegmentDims {
    SegmentDims(
      batch: dims.batch, length: min(segmentLength, dims.length - segment * segmentLength))
  }

  /// Copies a segment's rows out of `[B, T]` arrays.
  func load(_ segment: Int, of samples: SequenceSamples) {
    let length = segmentDims(segment).length
    for b in 0..<dims.batch {
      let source = b * dims.length + segment * segmentLength
      (tokens + b * length).update(from: samples.inputs + source, count: length)
      (targets + b * length).update(from: samples.targets + source, count: length)
      (weights + b * length).update(from: samples.weights + source, count: length)
    }
  }

  /// Adds the gradient of `scale * sum(weight * nll)` to `gradients`.
  ///
  /// - Parameters:
  ///   - samples: `[B, T]` inputs, targets and weights.
  ///   - scale: one over the global sum of weights of the step.
  ///   - parameters: the parameter arena.
  ///   - gradients: the gradient arena, added to.
  /// - Returns: sum of `weight * nll`, not scaled.
  public func gradient(
    of samples: SequenceSamples, scale: Float, parameters: Floats,
    accumulatingInto gradients: Floats
  ) -> Double {
    let stateCount = state.count
    zero(starts.pointer, count: stateCount)
    for segment in 0..<(segmentCount - 1) {
      let next = starts.pointer + (segment + 1) * stateCount
      copy(starts.pointer + segment * stateCount, count: stateCount, into: next)
      load(segment, of: samples)
      model.forward(
        tokens, parameters: parameters, stateInPlace: next, activations, dims: segmentDims(segment))
    }
    zero(dstate.pointer, count: stateCount)
    var sum = 0.0
    for segment in (0..<segmentCount).reversed() {
      sum += segmentGradient(
        segment, of: samples, scale: scale, parameters: parameters, gradients: gradients)
    }
    return sum
  }

  private func segmentGradient(
    _ segment: Int, of samples: SequenceSamples, scale: Float, parameters: Floats, gradients: Floats
  ) -> Double {
    let dims = segmentDims(segment)
    let start = starts.pointer + segment * state.count
    copy(start, count: state.count, into: state.pointer)
    load(segment, of: samples)
    if let observer {
      model.forward(
        tokens, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims
      ) { observer.forward(segment, $0, $1, dims.rows) }
    } else {
      model.forward(
        tokens, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims)
    }
    let wanted = SegmentTargets(targets: targets, weights: weights, scale: scale)
    let sum = model.loss(
      wanted, parameters: parameters, gradients: gradients, activations, dims: dims)
    if let observer {
      model.backward(
        tokens, parameters: parameters, gradients: gradients, states: start,
        dstateInPlace: dstate.pointer, activations, dims: dims
      ) { observer.backward(segment, $0, $1, dims.rows) }
    } else {
      model.backward(
        tokens, parameters: parameters, gradients: gradients, states: start,
        dstateInPlace: dstate.pointer, activations, dims: dims,
        observe: segment == 0 ? blockIsFinal : nil)
    }
    return sum
  }

  /// Runs the sequences forward from a zero state.
  ///
  /// - Parameters:
  ///   - samples: `[B, T]` inputs, targets and weights.
  ///   - parameters: the parameter arena.
  ///   - visit: called after each segment with (first token, tokens of the segment, nll `[B,
  ///     segment]`).
  /// - Returns: sum of `weight * nll`.
  public func loss(
    of samples: SequenceSamples, parameters: Floats,
    visit: (Int, Int, UnsafePointer<Float>) -> Void = { _, _, _ in }
  ) -> Double {
    zero(state.pointer, count: state.count)
    var sum = 0.0
    for segment in 0..<segmentCount {
      let dims = segmentDims(segment)
      load(segment, of: samples)
      model.forward(
        tokens, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims)
      let wanted = SegmentTargets(targets: targets, weights: weights, scale: 1)
      sum += model.loss(wanted, parameters: parameters, gradients: nil, activations, dims: dims)
      visit(segment * segmentLength, dims.length, activations.tokenNLL)
    }
    return sum
  }
}

/// Samples of a micro-batch, `[B, T]` each.
public struct SequenceSamples {
  /// Input tokens.
  public var inputs: UnsafePointer<Int32>
  /// The token wanted at each position.
  public var targets: UnsafePointer<Int32>
  /// Its weight in the loss; 0 for ignored.
  public var weights: UnsafePointer<Float>

  /// Names the arrays.
  public init(
    inputs: UnsafePointer<Int32>, targets: UnsafePointer<Int32>, weights: UnsafePointer<Float>
  ) {
    self.inputs = inputs
    self.targets = targets
    self.weights = weights
  }
}
