import JSON
import LanguageModels
import RecallTasks
import TokenData

/// How well a model answers a task's questions by generating text greedily.
public struct GenerationAccuracy {
  /// How answers are scored.
  public var metric: GenerationMetric { task.metric }

  private let task: TextTask
  private let tokenizer: any Tokenizer
  private let generator: Generator
  private let evaluated: EvaluatedModel
  private let name: String

  /// Prepares a task's questions.
  ///
  /// - Parameters:
  ///   - task: a task on text.
  ///   - sequenceLength: tokens of a prompt and what is generated after it.
  ///   - seed: what the questions are drawn from.
  ///   - tokenizer: the model's.
  ///   - model: what is measured.
  ///   - name: the task's name in the report.
  /// - Throws: `RecallTaskError` when the task is not one on text or does not fit.
  public init(
    _ task: RecallTaskConfiguration, sequenceLength: Int, seed: UInt64, tokenizer: any Tokenizer,
    of model: EvaluatedModel, name: String? = nil
  ) throws(RecallTaskError) {
    self.task = try task.makeGenerationTask(
      sequenceLength: sequenceLength, seed: seed, tokenizer: tokenizer)
    self.tokenizer = tokenizer
    self.name = name ?? task.name
    evaluated = model
    generator = Generator(model, usableVocabulary: tokenizer.vocabularySize)
  }

  /// The answers to `count` questions, in order.
  ///
  /// - Throws: as `answer`; `EvaluationError.interrupted`.
  public func records(_ count: Int) throws -> [SampleRecord] {
    let units = EvaluatedModel.units(of: count, size: 1)
    return try evaluated.records(name, length: task.sequenceLength, units: units) { unit in
      try unit.map { try answer($0, of: count) }
    }
  }

  /// Asks question `index` of `count`.
  ///
  /// - Returns: the score, and the generated text; it may end early once the score can only be 1.
  /// - Throws: `RecallTaskError` when a prompt does not fit; `EvaluationError` when the tokenizer is not
  ///   the model's or the model gives no numbers.
  public func answer(_ index: Int, of count: Int) throws -> SampleRecord {
    let item = try task.item(index, of: count)
    let generated = try generator.continuation(
      of: item.promptTokens, maximumNewTokens: item.maximumNewTokens,
      stopTokens: Set([tokenizer.endOfText].compactMap { $0 })
    ) { isDecided($0, item) }
    let prediction = tokenizer.decode(generated)
    let score = metric.score(prediction, references: item.answers)
    var record = SampleRecord(
      id: .integer(index), scores: [SampleRecord.Score(metric.rawValue, score)])
    record.prompt = SampleRecord.Prompt(item.prompt, tokens: item.promptTokens.count)
    record.prediction = prediction
    record.depth = item.depth
    return record
  }

  /// Whether further tokens cannot change the score.
  private func isDecided(_ generated: [Int32], _ item: GenerationItem) -> Bool {
    let text = tokenizer.decode(generated)
    switch metric {
    case .contains, .stringMatchAll:
      return metric.score(text, references: item.answers) == 1
    case .exactMatch:
      return text.contains("\n")
    }
  }
}
