import ErrorReporting
import Kernels
import LanguageModels
import TensorStorage
import TokenData

/// A model, its parameters, and how many tokens it processes at a time.
public struct EvaluatedModel {
  /// The model.
  public let model: LanguageModel
  /// Its parameters, in the model's layout; only read.
  public let parameters: FloatBuffer
  /// Tokens of a segment, all sequences of a batch together; memory does not grow beyond it.
  public let segmentLength: Int

  /// Asked between samples and segments when set; once it says true the measurement is given up.
  public var isInterrupted: (() -> Bool)?

  /// Default tokens of a segment.
  public static let defaultSegmentLength = 2048

  /// Floats of recurrent state that a batch may hold, 256 MB of them.
  private static let stateBudget = 1 << 26

  /// Names the parts.
  ///
  /// - Precondition: the parameters have the model's layout; `segmentLength >= 1`.
  public init(
    _ model: LanguageModel, parameters: FloatBuffer,
    segmentLength: Int = EvaluatedModel.defaultSegmentLength
  ) {
    require(
      parameters.count == model.layout.count,
      "\(parameters.count) parameters for a model of \(model.layout.count)")
    require(segmentLength >= 1, "segments of \(segmentLength) tokens")
    self.model = model
    self.parameters = parameters
    self.segmentLength = segmentLength
  }

  /// Sequences of `length` tokens that run side by side.
  ///
  /// The number depends only on the model and the lengths, not on the machine, so that results are
  /// reproducible to the last bit.
  static func batch(_ model: LanguageModel, length: Int, segmentLength: Int) -> Int {
    min(segmentLength / min(length, segmentLength), affordableStates(model))
  }

  /// How many states of one sequence may be held at a time: what the budget allows, but at least one.
  static func affordableStates(_ model: LanguageModel) -> Int {
    max(1, stateBudget / max(model.stateCount(batch: 1), 1))
  }

  /// Throws `EvaluationError.interrupted` when somebody asked for that.
  func goOn() throws(EvaluationError) {
    if isInterrupted?() == true { throw .interrupted }
  }

  /// Writes samples `range` of `source` in batches and hands each to `body`: the samples, a pass of
  /// their shape, and the first sample's number.
  func forEachBatch(
    of range: Range<Int>, from source: any SampleSource,
    _ body: (SampleBatch, SequencePass, Int) throws -> Void
  ) throws {
    let length = source.sequenceLength
    let size = Self.batch(model, length: length, segmentLength: segmentLength)
    var pass: SequencePass?
    var first = range.lowerBound
    while first < range.upperBound {
      let count = min(size, range.upperBound - first)
      let samples = SampleBatch(sampleCount: count, sequenceLength: length)
      for index in 0..<count {
        try source.write(sample: UInt64(first + index), into: samples[index])
      }
      let current: SequencePass
      if let pass, pass.dims.batch == count {
        current = pass
      } else {
        current = SequencePass(
          model, batch: count, length: length, segmentLength: segmentLength, trains: false)
      }
      pass = current
      current.givesUp = isInterrupted
      try goOn()
      do {
        try body(samples, current, first)
      } catch  where current.isGivenUp {
        throw EvaluationError.interrupted
      }
      if current.isGivenUp { throw EvaluationError.interrupted }
      first += count
    }
  }
}

extension SampleBatch {
  /// The same arrays as a pass takes them.
  var sequenceSamples: SequenceSamples? {
    guard let inputs = inputs.baseAddress, let targets = targets.baseAddress,
      let weights = weights.baseAddress
    else { return nil }
    return SequenceSamples(inputs: inputs, targets: targets, weights: weights)
  }
}
