import ErrorReporting

/// Where one sample of `T` tokens is written: views of memory owned by someone else.
///
/// `targets[t]` is what the model should predict after reading `inputs[0...t]`; `weights[t]` is what
/// that prediction weighs in the loss, 0 when it is ignored. Sources write 1 for what counts;
/// `DataStream` may scale it.
public struct SampleBuffer {
  /// Token ids read by the model, `[T]`.
  public let inputs: UnsafeMutableBufferPointer<Int32>

  /// Token ids to predict, `[T]`; always valid ids, also where the weight is 0.
  public let targets: UnsafeMutableBufferPointer<Int32>

  /// Loss weights, `[T]`: 0 or more.
  public let weights: UnsafeMutableBufferPointer<Float>

  /// Tokens of its document before each input, `[T]`; nil when nobody wants to know.
  public let history: UnsafeMutableBufferPointer<Int32>?

  /// Wraps buffers of equal length.
  ///
  /// - Precondition: the counts are equal.
  public init(
    inputs: UnsafeMutableBufferPointer<Int32>, targets: UnsafeMutableBufferPointer<Int32>,
    weights: UnsafeMutableBufferPointer<Float>,
    history: UnsafeMutableBufferPointer<Int32>? = nil
  ) {
    require(
      inputs.count == targets.count && inputs.count == weights.count
        && history?.count ?? inputs.count == inputs.count,
      "\(inputs.count) inputs, \(targets.count) targets, \(weights.count) weights")
    self.inputs = inputs
    self.targets = targets
    self.weights = weights
    self.history = history
  }

  /// Number of positions, `T`.
  public var sequenceLength: Int { inputs.count }

  /// Sets every position to input `padding`, target `padding` and weight 0.
  public func clear(padding: Int32 = 0) {
    inputs.update(repeating: padding)
    targets.update(repeating: padding)
    weights.update(repeating: 0)
  }

  /// Puts token `token` at position `position` of a row of `T + 1` tokens.
  ///
  /// It becomes the input at `position` and the target one position before, whichever exist.
  /// `weight` belongs to that target.
  @inlinable @inline(__always)
  package func place(_ token: Int32, at position: Int, weight: Float) {
    if position < inputs.count { inputs[position] = token }
    guard position > 0, position <= inputs.count else { return }
    targets[position - 1] = token
    weights[position - 1] = weight
  }
}

/// Memory for `sampleCount` samples of `sequenceLength` tokens, each array contiguous `[B, T]`.
public final class SampleBatch {
  /// Samples held, `B`.
  public let sampleCount: Int

  /// Positions in a sample, `T`.
  public let sequenceLength: Int

  /// Token ids read by the model, `[B, T]`.
  public let inputs: UnsafeMutableBufferPointer<Int32>

  /// Token ids to predict, `[B, T]`.
  public let targets: UnsafeMutableBufferPointer<Int32>

  /// Loss weights, `[B, T]`.
  public let weights: UnsafeMutableBufferPointer<Float>

  /// Tokens of its document before each input, `[B, T]`, or nil.
  public let history: UnsafeMutableBufferPointer<Int32>?

  /// Allocates a batch of zeros.
  ///
  /// - Parameters:
  ///   - sampleCount: samples held.
  ///   - sequenceLength: positions in a sample.
  ///   - tracksDocuments: whether to hold where documents begin.
  public init(sampleCount: Int, sequenceLength: Int, tracksDocuments: Bool = false) {
    self.sampleCount = sampleCount
    self.sequenceLength = sequenceLength
    let count = sampleCount * sequenceLength
    inputs = .allocate(capacity: count)
    targets = .allocate(capacity: count)
    weights = .allocate(capacity: count)
    inputs.initialize(repeating: 0)
    targets.initialize(repeating: 0)
    weights.initialize(repeating: 0)
    history = tracksDocuments ? .allocate(capacity: count) : nil
    history?.initialize(repeating: 0)
  }

  deinit {
    history?.deallocate()
    inputs.deallocate()
    targets.deallocate()
    weights.deallocate()
  }

  /// The view of sample `index`, valid while this object lives.
  ///
  /// - Precondition: `0 <= index < sampleCount`.
  public subscript(index: Int) -> SampleBuffer {
    require(index >= 0 && index < sampleCount, "sample \(index) of a batch of \(sampleCount)")
    let range = (index * sequenceLength)..<((index + 1) * sequenceLength)
    return SampleBuffer(
      inputs: .init(rebasing: inputs[range]), targets: .init(rebasing: targets[range]),
      weights: .init(rebasing: weights[range]),
      history: history.map { .init(rebasing: $0[range]) })
  }
}
