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
  /// The cut of a sequence.
  public let plan: SegmentPlan
  /// Activations of the segment that ran last.
  public let activations: SegmentActivations

  private let sharing: SequenceSharing?
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

  /// Allocates for `batch` sequences of `length` tokens, `segmentLength` at a time.
  ///
  /// - Parameters:
  ///   - model: the model.
  ///   - batch: sequences that run together.
  ///   - length: tokens of a sequence.
  ///   - segmentLength: tokens of a segment that are computed here, at most.
  ///   - trains: whether gradients will be wanted.
  ///   - sharing: the ranks that share the sequences, two or more; nil when this one computes them
  ///     alone.
  /// - Precondition: every part has a token of every segment (`SegmentPlan.isPossible`).
  public init(
    _ model: LanguageModel, batch: Int, length: Int, segmentLength: Int, trains: Bool = true,
    sharing: SequenceSharing? = nil
  ) {
    self.model = model
    self.dims = SegmentDims(batch: batch, length: length)
    self.sharing = sharing
    plan = SegmentPlan(
      length: length, segmentLength: segmentLength, parts: sharing?.parts ?? 1)
    precondition(plan.isPossible, "\(length) tokens cannot be shared by \(plan.parts) ranks")
    let segment = SegmentDims(batch: batch, length: plan.largestPart, parts: plan.parts)
    activations = SegmentActivations(model, dims: segment, trains: trains)
    let stateCount = model.stateCount(batch: batch)
    starts = FloatBuffer(
      count: trains ? stateCount * plan.segmentCount : 0)
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

  /// Segments of a sequence.
  public var segmentCount: Int { plan.segmentCount }

  /// Floats of memory that a training pass of this shape holds on a rank: activations, then states.
  public static func memory(
    _ model: LanguageModel, batch: Int, plan: SegmentPlan
  ) -> (activations: Int, states: Int) {
    let activations = SegmentActivations.count(
      model, dims: SegmentDims(batch: batch, length: plan.largestPart, parts: plan.parts),
      trains: true)
    return (activations, model.stateCount(batch: batch) * (plan.segmentCount + 2))
  }

  /// The tokens of each sequence that are computed here, in a segment.
  func range(_ segment: Int) -> Range<Int> { plan.range(segment, part: sharing?.part ?? 0) }

  func segmentDims(_ segment: Int) -> SegmentDims {
    SegmentDims(batch: dims.batch, length: range(segment).count, parts: plan.parts)
  }

  /// Copies a segment's rows out of `[B, T]` arrays.
  ///
  /// - Returns: the tokens as blocks read them.
  func load(_ segment: Int, of samples: SequenceSamples) -> SegmentTokens {
    let range = range(segment)
    let length = range.count
    for b in 0..<dims.batch {
      let source = b * dims.length + range.lowerBound
      (tokens + b * length).update(from: samples.inputs + source, count: length)
      (targets + b * length).update(from: samples.targets + source, count: length)
      (weights + b * length).update(from: samples.weights + source, count: length)
    }
    return SegmentTokens(
      tokens, parts: sharing.map { SequenceParts(plan.split(segment), $0) })
  }

  /// Adds the gradient of `scale * sum(weight * nll)` to `gradients`.
  ///
  /// - Parameters:
  ///   - samples: `[B, T]` inputs, targets and weights.
  ///   - scale: one over the global sum of weights of the step.
  ///   - parameters: the parameter arena.
  ///   - gradients: the gradient arena, added to.
  /// - Returns: sum of `weight * nll` of the tokens that are computed here, not scaled.
  public func gradient(
    of samples: SequenceSamples, scale: Float, parameters: Floats,
    accumulatingInto gradients: Floats
  ) -> Double {
    let stateCount = state.count
    zero(starts.pointer, count: stateCount)
    for segment in 0..<(segmentCount - 1) {
      let next = starts.pointer + (segment + 1) * stateCount
      copy(starts.pointer + segment * stateCount, count: stateCount, into: next)
      let input = load(segment, of: samples)
      model.forward(
        input, parameters: parameters, stateInPlace: next, activations, dims: segmentDims(segment))
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
    let input = load(segment, of: samples)
    if let observer {
      model.forward(
        input, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims
      ) { observer.forward(segment, $0, $1, dims.rows) }
    } else {
      model.forward(
        input, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims)
    }
    let wanted = SegmentTargets(targets: targets, weights: weights, scale: scale)
    let sum = model.loss(
      wanted, parameters: parameters, gradients: gradients, activations, dims: dims)
    if let observer {
      model.backward(
        input, parameters: parameters, gradients: gradients, states: start,
        dstateInPlace: dstate.pointer, activations, dims: dims
      ) { observer.backward(segment, $0, $1, dims.rows) }
    } else {
      model.backward(
        input, parameters: parameters, gradients: gradients, states: start,
        dstateInPlace: dstate.pointer, activations, dims: dims)
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
      let input = load(segment, of: samples)
      model.forward(
        input, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims)
      let wanted = SegmentTargets(targets: targets, weights: weights, scale: 1)
      sum += model.loss(wanted, parameters: parameters, gradients: nil, activations, dims: dims)
      visit(range(segment).lowerBound, dims.length, activations.tokenNLL)
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
