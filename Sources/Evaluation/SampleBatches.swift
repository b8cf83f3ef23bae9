import LanguageModels
import TokenData

/// Runs a model over samples of a source, a unit of them side by side.
final class SampleBatches {
  private let evaluated: EvaluatedModel
  private let source: any SampleSource
  private let segmentLength: Int
  private var pass: SequencePass?
  private var batch: SampleBatch?

  /// Prepares passes over a source's samples.
  ///
  /// - Parameters:
  ///   - model: the model.
  ///   - source: the samples.
  ///   - segmentLength: tokens of a pass's segments; the model's if nil. Units do not depend on it.
  init(_ model: EvaluatedModel, _ source: any SampleSource, segmentLength: Int? = nil) {
    evaluated = model
    self.source = source
    self.segmentLength = segmentLength ?? model.segmentLength
  }

  /// Samples `0 ..< count`, cut into units.
  func units(of count: Int) -> [Range<Int>] {
    let size = EvaluatedModel.batch(
      evaluated.model, length: source.sequenceLength, segmentLength: evaluated.segmentLength)
    return EvaluatedModel.units(of: count, size: size)
  }

  /// Writes a unit's samples and hands them to `body`, with a pass of their shape.
  ///
  /// - Throws: `EvaluationError.interrupted`; what the source and `body` throw.
  func run<Result>(
    _ unit: Range<Int>, _ body: (SampleBatch, SequencePass) throws -> Result
  ) throws -> Result {
    let (samples, pass) = buffers(unit.count)
    for index in 0..<unit.count {
      try source.write(sample: UInt64(unit.lowerBound + index), into: samples[index])
    }
    pass.givesUp = evaluated.isInterrupted
    do {
      let result = try body(samples, pass)
      if pass.isGivenUp { throw EvaluationError.interrupted }
      return result
    } catch  where pass.isGivenUp {
      throw EvaluationError.interrupted
    }
  }

  private func buffers(_ count: Int) -> (SampleBatch, SequencePass) {
    if let batch, let pass, pass.dims.batch == count { return (batch, pass) }
    let length = source.sequenceLength
    let batch = SampleBatch(sampleCount: count, sequenceLength: length)
    let pass = SequencePass(
      evaluated.model, batch: count, length: length, segmentLength: segmentLength,
      trains: false)
    (self.batch, self.pass) = (batch, pass)
    return (batch, pass)
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
