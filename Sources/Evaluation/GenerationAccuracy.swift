import LanguageModels
import RecallTasks
import TokenData

/// How well a model answers a task's questions by generating text greedily.
public struct GenerationAccuracy {
  /// One question, asked and scored.
  public struct Answer: Sendable, Equatable {
    /// What the task's metric gives, between 0 and 1.
    public let score: Double
    /// The generated text; it may end early once the score can only be 1.
    public let prediction: String
    /// Tokens of the prompt.
    public let promptTokens: Int
    /// UTF-8 bytes of the prompt.
    public let promptBytes: Int
    /// Where the needle lies, between 0 and 1; nil where the task has none.
    public let depth: Double?
  }

  /// How answers are scored.
  public var metric: GenerationMetric { task.metric }

  private let task: TextTask
  private let tokenizer: any Tokenizer
  private let generator: Generator

  /// Prepares a task's questions.
  ///
  /// - Parameters:
  ///   - task: a task on text.
  ///   - sequenceLength: tokens of a prompt and what is generated after it.
  ///   - seed: what the questions are drawn from.
  ///   - tokenizer: the model's.
  ///   - model: what is measured.
  /// - Throws: `RecallTaskError` when the task is not one on text or does not fit.
  public init(
    _ task: RecallTaskConfiguration, sequenceLength: Int, seed: UInt64, tokenizer: any Tokenizer,
    of model: EvaluatedModel
  ) throws(RecallTaskError) {
    self.task = try task.makeGenerationTask(
      sequenceLength: sequenceLength, seed: seed, tokenizer: tokenizer)
    self.tokenizer = tokenizer
    generator = Generator(model, usableVocabulary: tokenizer.vocabularySize)
  }

  /// Asks question `index` of `count`.
  ///
  /// - Throws: `RecallTaskError` when a prompt does not fit; `EvaluationError` when the tokenizer is not
  ///   the model's or the model gives no numbers.
  public func answer(_ index: Int, of count: Int) throws -> Answer {
    let item = try task.item(index, of: count)
    let generated = try generator.continuation(
      of: item.promptTokens, maximumNewTokens: item.maximumNewTokens,
      stopTokens: Set([tokenizer.endOfText].compactMap { $0 })
    ) { isDecided($0, item) }
    let prediction = tokenizer.decode(generated)
    return Answer(
      score: metric.score(prediction, references: item.answers), prediction: prediction,
      promptTokens: item.promptTokens.count, promptBytes: item.prompt.utf8.count,
      depth: item.depth)
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
