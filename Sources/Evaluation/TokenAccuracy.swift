import JSON
import LanguageModels
import RecallTasks
import TensorStorage
import TokenData

/// How often a model's most likely token is the wanted one, at the positions of a task that count.
public struct TokenAccuracy {
  private let name: String
  private let source: any SampleSource
  private let evaluated: EvaluatedModel

  /// Prepares a task's evaluation samples.
  ///
  /// - Parameters:
  ///   - task: a task on token ids.
  ///   - sequenceLength: tokens of a sample.
  ///   - seed: what the samples are drawn from.
  ///   - model: what is measured.
  ///   - name: the task's name in the report.
  /// - Throws: `RecallTaskError`, or `EvaluationError.vocabulary` when the model has too few ids.
  public init(
    _ task: RecallTaskConfiguration, sequenceLength: Int, seed: UInt64, of model: EvaluatedModel,
    name: String? = nil
  ) throws {
    source = try Self.source(
      task, sequenceLength: sequenceLength, seed: seed, vocabulary: model.model.vocabulary)
    self.name = name ?? task.name
    evaluated = model
  }

  /// A task's evaluation samples, as rows of token ids.
  ///
  /// - Throws: `RecallTaskError`, or `EvaluationError.vocabulary` when there are too few ids.
  static func source(
    _ task: RecallTaskConfiguration, sequenceLength: Int, seed: UInt64, vocabulary: Int,
    tokenizer: (any Tokenizer)? = nil
  ) throws -> any SampleSource {
    let source = try task.makeSource(
      sequenceLength: sequenceLength, seed: seed, stream: .evaluation, tokenizer: tokenizer)
    guard source.requiredVocabulary <= vocabulary else {
      throw EvaluationError.vocabulary(
        task: task.name, needed: source.requiredVocabulary, model: vocabulary)
    }
    return source
  }

  /// The accuracy of each of the samples `0 ..< count`, in order; a sample without a position that counts
  /// has none.
  ///
  /// - Throws: `EvaluationError.notFinite` when the model's logits are no numbers; `.interrupted`.
  public func records(_ count: Int) throws -> [SampleRecord] {
    let batches = SampleBatches(evaluated, source)
    return try evaluated.records(
      name, length: source.sequenceLength, units: batches.units(of: count)
    ) { unit in
      try batches.run(unit) { batch, pass in
        try Self.scored(
          batch, pass, first: unit.lowerBound, parameters: evaluated.parameters, task: name,
          metric: TaskResult.accuracy)
      }
    }
  }

  /// The accuracy of each sample of a batch, under the name of a metric.
  ///
  /// - Parameters:
  ///   - batch: the samples.
  ///   - pass: of their shape.
  ///   - first: the first one's number.
  ///   - parameters: the model's.
  ///   - task: for errors.
  ///   - metric: the name.
  /// - Returns: a record each.
  /// - Throws: `EvaluationError.notFinite`.
  static func scored(
    _ batch: SampleBatch, _ pass: SequencePass, first: Int, parameters: FloatBuffer, task: String,
    metric: String
  ) throws(EvaluationError) -> [SampleRecord] {
    let count = batch.sampleCount * batch.sequenceLength
    let predictions = UnsafeMutableBufferPointer<Int32>.allocate(capacity: count)
    defer { predictions.deallocate() }
    guard let samples = batch.sequenceSamples, let base = predictions.baseAddress else { return [] }
    pass.predict(samples, parameters: parameters.pointer, into: base)
    guard (0..<count).allSatisfy({ batch.weights[$0] == 0 || predictions[$0] >= 0 }) else {
      throw EvaluationError.notFinite(what: "the most likely token of task \(task)")
    }
    return (0..<batch.sampleCount).map { index in
      let part = UnsafeBufferPointer(
        start: base + index * batch.sequenceLength, count: batch.sequenceLength)
      let score = tokenAccuracy(predictions: part, sample: batch[index])
      return SampleRecord(
        id: .integer(first + index),
        scores: score.map { [SampleRecord.Score(metric, $0)] } ?? [])
    }
  }
}
