import LanguageModels
import RecallTasks
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
  /// - Throws: `RecallTaskError`, or `EvaluationError.vocabulary` when the model has too few ids.
  public init(
    _ task: RecallTaskConfiguration, sequenceLength: Int, seed: UInt64, of model: EvaluatedModel
  ) throws {
    source = try Self.source(
      task, sequenceLength: sequenceLength, seed: seed, vocabulary: model.model.vocabulary)
    name = task.name
    evaluated = model
  }

  /// The evaluation samples of a task on token ids.
  ///
  /// - Throws: `RecallTaskError`, or `EvaluationError.vocabulary` when there are too few ids.
  static func source(
    _ task: RecallTaskConfiguration, sequenceLength: Int, seed: UInt64, vocabulary: Int
  ) throws -> any SampleSource {
    let source = try task.makeSource(
      sequenceLength: sequenceLength, seed: seed, stream: .evaluation)
    guard source.requiredVocabulary <= vocabulary else {
      throw EvaluationError.vocabulary(
        task: task.name, needed: source.requiredVocabulary, model: vocabulary)
    }
    return source
  }

  /// The accuracy of each of the samples `range`, in order; samples without a position that counts
  /// are left out.
  ///
  /// - Throws: `EvaluationError.notFinite` when the model's logits are no numbers.
  public func scores(_ range: Range<Int>) throws -> [Double] {
    var scores: [Double] = []
    try evaluated.forEachBatch(of: range, from: source) { batch, pass, _ in
      guard let samples = batch.sequenceSamples else { return }
      let count = batch.sampleCount * batch.sequenceLength
      let predictions = UnsafeMutableBufferPointer<Int32>.allocate(capacity: count)
      defer { predictions.deallocate() }
      guard let base = predictions.baseAddress else { return }
      pass.predict(samples, parameters: evaluated.parameters.pointer, into: base)
      guard (0..<count).allSatisfy({ batch.weights[$0] == 0 || predictions[$0] >= 0 }) else {
        throw EvaluationError.notFinite(what: "the most likely token of task \(name)")
      }
      for index in 0..<batch.sampleCount {
        let part = UnsafeBufferPointer(
          start: base + index * batch.sequenceLength, count: batch.sequenceLength)
        if let score = tokenAccuracy(predictions: part, sample: batch[index]) {
          scores.append(score)
        }
      }
    }
    return scores
  }
}
