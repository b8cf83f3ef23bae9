import ErrorReporting
import Files
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
///
/// Truncated, segments are run once, forward and backward, and no gradient is handed to the segment
/// before: the state is carried on as a constant.
public final class SequencePass {
  /// The model whose gradient this computes.
  public let model: LanguageModel
  /// Sequences and tokens of each.
  public let dims: SegmentDims
  /// The cut of a sequence.
  public let plan: SegmentPlan
  /// Whether the gradient stops at segment starts.
  public let truncates: Bool
  /// Activations of the segment that ran last.
  public let activations: SegmentActivations

  private let group: (any SequenceGroup)?
  private let starts: SegmentStates
  let state: FloatBuffer
  private let dstate: FloatBuffer
  private let tokens: UnsafeMutablePointer<Int32>
  private let targets: UnsafeMutablePointer<Int32>
  private let history: UnsafeMutablePointer<Int32>
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

  /// Called during `gradient`, once a segment, with the tokens of a sequence that were computed here and
  /// their nats, `[B, tokens]`.
  public var observeLoss: ((Range<Int>, UnsafePointer<Float>) -> Void)?

  /// Asked before each segment when set; once it says true the pass is given up.
  ///
  /// Parts of shared sequences must all get the same answer.
  public var givesUp: (() -> Bool)?

  /// Called with the state of all blocks at the end of each segment of `loss` and `predict`, which goes on
  /// from what it becomes.
  public var atSegmentEnd: ((Floats) -> Void)?

  /// Whether the pass that ran last was given up: what it returned or wrote means nothing.
  public private(set) var isGivenUp = false

  /// Allocates for `batch` sequences of `length` tokens, `segmentLength` at a time.
  ///
  /// - Parameters:
  ///   - model: the model.
  ///   - batch: sequences that run together.
  ///   - length: tokens of a sequence.
  ///   - segmentLength: tokens of a segment that are computed here, at most.
  ///   - trains: whether gradients will be wanted.
  ///   - storage: where states at segment starts are kept.
  ///   - truncates: whether the gradient stops at segment starts.
  ///   - group: the ranks that share the sequences, two or more; nil when this one computes them
  ///     alone.
  /// - Precondition: every part has a token of every segment (`SegmentPlan.isPossible`).
  public init(
    _ model: LanguageModel, batch: Int, length: Int, segmentLength: Int, trains: Bool = true,
    storage: SegmentStateStorage = .memory, truncates: Bool = false,
    group: (any SequenceGroup)? = nil
  ) {
    self.model = model
    self.dims = SegmentDims(batch: batch, length: length)
    self.truncates = truncates
    self.group = group
    plan = SegmentPlan(
      length: length, segmentLength: segmentLength, parts: group?.parts ?? 1)
    require(plan.isPossible, "\(length) tokens cannot be shared by \(plan.parts) ranks")
    let segment = SegmentDims(batch: batch, length: plan.largestPart, parts: plan.parts)
    activations = SegmentActivations(model, dims: segment, trains: trains)
    let stateCount = model.stateCount(batch: batch)
    let segments = truncates ? 1 : plan.segmentCount
    starts = SegmentStates(
      storage, segments: trains ? segments : 0, stateCount: stateCount, group: group)
    state = FloatBuffer(count: stateCount)
    dstate = FloatBuffer(count: trains ? stateCount : 0)
    tokens = .allocate(capacity: segment.rows)
    targets = .allocate(capacity: segment.rows)
    history = .allocate(capacity: segment.rows)
    weights = .allocate(capacity: segment.rows)
  }

  deinit {
    tokens.deallocate()
    targets.deallocate()
    history.deallocate()
    weights.deallocate()
  }

  /// The segment whose backward pass comes last.
  private var lastProcessed: Int { truncates ? segmentCount - 1 : 0 }

  /// Segments of a sequence.
  public var segmentCount: Int { plan.segmentCount }

  /// Floats of a training pass's activations on a rank, and of one state of its sequences.
  public static func memory(
    _ model: LanguageModel, batch: Int, plan: SegmentPlan
  ) -> (activations: Int, state: Int) {
    let segment = SegmentDims(batch: batch, length: plan.largestPart, parts: plan.parts)
    let activations = SegmentActivations.count(model, dims: segment, trains: true)
    return (activations, model.stateCount(batch: batch))
  }

  /// Which part of shared sequences is computed here; 0 where they are not shared.
  public var part: Int { group?.part ?? 0 }

  /// The tokens of each sequence that are computed here, in a segment.
  func range(_ segment: Int) -> Range<Int> { plan.range(segment, part: part) }

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
      if let history = samples.history {
        (self.history + b * length).update(from: history + source, count: length)
      }
    }
    let known = samples.history == nil ? nil : UnsafePointer(history)
    return SegmentTokens(
      UnsafePointer(tokens), history: DocumentHistory(known),
      part: group.map { SegmentPart(plan.split(segment), of: $0) })
  }

  /// Whether the pass goes on with another segment.
  func goesOn() -> Bool {
    if !isGivenUp, let givesUp { isGivenUp = givesUp() }
    return !isGivenUp
  }

  /// Begins a pass, which nobody has given up yet.
  func begin() { isGivenUp = false }

  /// What every segment of a gradient needs.
  private struct Work {
    let samples: SequenceSamples
    let scale: Float
    let parameters: Floats
    let gradients: Floats
  }

  /// Adds the gradient of `scale * sum(weight * nll)` to `gradients`.
  ///
  /// - Parameters:
  ///   - samples: `[B, T]` inputs, targets and weights.
  ///   - scale: one over the global sum of weights of the step.
  ///   - parameters: the parameter arena.
  ///   - gradients: the gradient arena, added to.
  ///   - carried: the state before the first token, a constant; overwritten with that after the last
  ///     one. Nil starts from zeros.
  /// - Returns: sum of `weight * nll` of the tokens that are computed here, not scaled; NaN if it was
  ///   given up.
  /// - Throws: `.io` when a spilled state cannot be written or read.
  public func gradient(
    of samples: SequenceSamples, scale: Float, parameters: Floats,
    accumulatingInto gradients: Floats, stateInPlace carried: Floats? = nil
  ) throws(FileError) -> Double {
    begin()
    let work = Work(
      samples: samples, scale: scale, parameters: parameters, gradients: gradients)
    if let carried {
      copy(carried, count: state.count, into: state.pointer)
    } else {
      zero(state.pointer, count: state.count)
    }
    zero(dstate.pointer, count: state.count)
    return truncates ? try truncated(work, carried) : try whole(work, carried)
  }

  private func whole(_ work: Work, _ carried: Floats?) throws(FileError) -> Double {
    let last = segmentCount - 1
    for segment in 0..<last {
      try starts.keep(state.pointer, of: segment)
      advance(segment, work, state.pointer)
      if isGivenUp { return .nan }
    }
    try starts.keep(state.pointer, of: last)
    var sum = 0.0
    for segment in (0...last).reversed() {
      let start = try starts.start(of: segment) { advance($0, work, $1) }
      copy(start, count: state.count, into: state.pointer)
      sum += segmentGradient(segment, work, start: start)
      if isGivenUp { return .nan }
      if segment == last, let carried { copy(state.pointer, count: state.count, into: carried) }
    }
    return sum
  }

  private func truncated(_ work: Work, _ carried: Floats?) throws(FileError) -> Double {
    var sum = 0.0
    for segment in 0..<segmentCount {
      try starts.keep(state.pointer, of: 0)
      let start = try starts.start(of: 0) { _, _ in }
      zero(dstate.pointer, count: state.count)
      sum += segmentGradient(segment, work, start: start)
      if isGivenUp { return .nan }
    }
    if let carried { copy(state.pointer, count: state.count, into: carried) }
    return sum
  }

  /// Runs a segment forward from the state given, which becomes that at its end.
  private func advance(_ segment: Int, _ work: Work, _ state: Floats) {
    guard goesOn() else { return }
    let input = load(segment, of: work.samples)
    model.forward(
      input, parameters: work.parameters, stateInPlace: state, activations,
      dims: segmentDims(segment), wantsOutput: false)
  }

  /// Gradients of one segment, from its start; `state` must hold it too and ends as that at the end.
  private func segmentGradient(_ segment: Int, _ work: Work, start: Floats) -> Double {
    guard goesOn() else { return .nan }
    let dims = segmentDims(segment)
    let input = load(segment, of: work.samples)
    let (parameters, gradients) = (work.parameters, work.gradients)
    if let observer {
      model.forward(
        input, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims
      ) { observer.forward(segment, $0, $1, dims.rows) }
    } else {
      model.forward(
        input, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims)
    }
    let wanted = CrossEntropyTargets(targets: targets, weights: weights, scale: work.scale)
    let sum = model.loss(
      wanted, parameters: parameters, gradients: gradients, activations, dims: dims)
    observeLoss?(range(segment), activations.tokenNLL)
    if let observer {
      model.backward(
        input, parameters: parameters, gradients: gradients, states: start,
        dstateInPlace: dstate.pointer, activations, dims: dims
      ) { observer.backward(segment, $0, $1, dims.rows) }
    } else {
      model.backward(
        input, parameters: parameters, gradients: gradients, states: start,
        dstateInPlace: dstate.pointer, activations, dims: dims,
        observe: segment == lastProcessed ? blockIsFinal : nil)
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
  /// - Returns: sum of `weight * nll`; NaN if it was given up.
  public func loss(
    of samples: SequenceSamples, parameters: Floats,
    visit: (Int, Int, UnsafePointer<Float>) -> Void = { _, _, _ in }
  ) -> Double {
    begin()
    zero(state.pointer, count: state.count)
    var sum = 0.0
    for segment in 0..<segmentCount {
      guard goesOn() else { return .nan }
      let dims = segmentDims(segment)
      let input = load(segment, of: samples)
      model.forward(
        input, parameters: parameters, stateInPlace: state.pointer, activations, dims: dims)
      let wanted = CrossEntropyTargets(targets: targets, weights: weights, scale: 1)
      sum += model.loss(wanted, parameters: parameters, gradients: nil, activations, dims: dims)
      visit(range(segment).lowerBound, dims.length, activations.tokenNLL)
      atSegmentEnd?(state.pointer)
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
  /// Tokens of its document before each position; nil when documents are not told apart.
  public var history: UnsafePointer<Int32>?

  /// Names the arrays.
  public init(
    inputs: UnsafePointer<Int32>, targets: UnsafePointer<Int32>, weights: UnsafePointer<Float>,
    history: UnsafePointer<Int32>? = nil
  ) {
    self.inputs = inputs
    self.targets = targets
    self.weights = weights
    self.history = history
  }
}
