import Evaluation
import Foundation
import JSON
import LanguageModels
import Logging
import RecallTasks
import TensorStorage
import TokenData
import TrainingMetrics

/// What a recipe measures during training, and the file it goes to.
///
/// All ranks measure, each a part of the samples; the lead writes. Every row of `evaluation.jsonl` is a report as `statex
/// evaluate` writes it, with its step.
package struct RunEvaluation {
  /// What is scored, with what reads its text.
  private struct Item<Task> {
    let task: Task
    let tokenizer: (any Tokenizer)?
  }

  /// What the loss is measured on.
  private struct Text {
    /// Text that the run tokenizes; nil for token files.
    let corpus: TextCorpus?
    let tokens: TokenSelection
    let sequenceLength: Int
  }

  private let tasks: [Item<EvaluationTask>]
  private let fileTasks: [Item<FileTask>]
  private let perplexity: Text?
  private let texts: RunTexts
  /// The token files that are measured on.
  private(set) var files: [MegatronTokens]
  private let every: Int
  private let seed: UInt64
  private let segmentLength: Int
  private let path: String

  /// Reads the recipe's tasks, and checks that everything can be measured that will be: text that opens
  /// and is long enough, tasks that fit their lengths and the vocabulary.
  ///
  /// Where nothing is measured, nothing is read.
  ///
  /// - Throws: `EvaluationError`, `RecallTaskError`, `TokenDataError`;
  ///   `TrainingError.unsupported` for a missing tokenizer.
  package init(_ recipe: Recipe, model: RunModel) throws {
    try self.init(recipe, model: model, texts: RunTexts(recipe))
  }

  /// The same, with the texts that the run tokenizes.
  init(_ recipe: Recipe, model: RunModel, texts: RunTexts) throws {
    let evaluation = recipe.evaluation
    every = evaluation.every
    let measures = every > 0
    self.texts = texts
    perplexity = measures ? try evaluation.perplexity.map { try Self.text($0, model, texts) } : nil
    tasks = measures ? try evaluation.tasks.flatMap { try Self.items($0, model) } : []
    fileTasks = measures ? try evaluation.files.map { try Self.item($0, model) } : []
    seed = recipe.run.seed
    segmentLength = recipe.train.segmentLength
    path = recipe.run.output + "/evaluation.jsonl"
    files = []
    try EvaluationTask.requireDistinctNames(
      tasks.map(\.task.name) + fileTasks.map(\.task.name)
        + (perplexity == nil ? [] : ["perplexity"]))
    try check(vocabulary: model.configuration.vocabularySize)
  }

  private static func text(
    _ plan: Recipe.Evaluation.Perplexity, _ model: RunModel, _ texts: RunTexts
  ) throws -> Text {
    switch plan.content {
    case .tokens(let stored):
      return Text(corpus: nil, tokens: stored.measured, sequenceLength: plan.sequenceLength)
    case .text(let stored):
      let corpus = try texts.measured(stored, model)
      let vocabulary = model.configuration.vocabularySize
      guard corpus.tokenizer.vocabularySize <= vocabulary else {
        throw TrainingError.unsupported(
          "evaluation.perplexity produces token ids up to \(corpus.tokenizer.vocabularySize - 1), but the "
            + "model's vocab_size is \(vocabulary)")
      }
      return Text(
        corpus: corpus, tokens: TokenSelection([corpus.prefix], part: stored.measured),
        sequenceLength: plan.sequenceLength)
    }
  }

  private static func items(
    _ plan: Recipe.Evaluation.TaskPlan, _ model: RunModel
  ) throws -> [Item<EvaluationTask>] {
    let tasks = try EvaluationTask.tasks(
      name: plan.task.name, options: plan.task.options, defaults: plan.defaults)
    return try tasks.map { task in
      let tokenizer =
        task.configuration.needsTokenizer
        ? try runTokenizer(
          plan.task.tokenizer, model: model, user: "the task \(plan.task.name)") : nil
      return Item(task: task, tokenizer: tokenizer)
    }
  }

  private static func item(
    _ plan: Recipe.Evaluation.FilePlan, _ model: RunModel
  ) throws -> Item<FileTask> {
    let task = try plan.plan.open()
    let tokenizer =
      task.needsTokenizer
      ? try runTokenizer(plan.tokenizer, model: model, user: "the task \(task.name)") : nil
    return Item(task: task, tokenizer: tokenizer)
  }

  private mutating func check(vocabulary: Int) throws {
    if let perplexity, try perplexity.corpus?.isWhole() ?? true {
      files = try Perplexity.open(
        perplexity.tokens, sequenceLength: perplexity.sequenceLength, vocabulary: vocabulary
      ).source.files
    }
    for item in tasks {
      try item.task.check(vocabulary: vocabulary, seed: seed, tokenizer: item.tokenizer)
    }
    for item in fileTasks {
      try item.task.check(vocabulary: vocabulary, tokenizer: item.tokenizer)
    }
  }

  /// Floats that measuring holds at most beside what training holds.
  package func memory(_ model: LanguageModel) -> Int {
    let text = perplexity.map {
      Perplexity.memory(model, sequenceLength: $0.sequenceLength, segmentLength: segmentLength)
    }
    let measurements =
      [text ?? 0] + tasks.map { $0.task.memory(model, segmentLength: segmentLength) }
      + fileTasks.map { $0.task.memory(model, segmentLength: segmentLength) }
    return measurements.max() ?? 0
  }

  /// Whether something is measured after `step`, the last being `last`.
  package func isDue(step: Int, last: Int) -> Bool {
    every > 0 && !(tasks.isEmpty && fileTasks.isEmpty && perplexity == nil)
      && (step.isMultiple(of: every) || step == last)
  }

  /// Whether a step's row stands already.
  package func hasMeasured(_ step: Int) throws -> Bool {
    try MetricsLog.hasRow(of: step, in: path)
  }

  /// Measures; collective.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - parameters: its parameters.
  ///   - ranks: who measures.
  ///   - isInterrupted: asked between samples and segments; once it says true there is no report.
  /// - Returns: the same report on every rank, whatever their number.
  /// - Throws: what measuring can throw; `EvaluationError.interrupted`.
  package func report(
    of model: LanguageModel, parameters: FloatBuffer, ranks: any EvaluationRanks = SingleRank(),
    isInterrupted: @escaping () -> Bool
  ) throws -> EvaluationReport {
    var evaluated = EvaluatedModel(model, parameters: parameters, segmentLength: segmentLength)
    evaluated.isInterrupted = isInterrupted
    evaluated.ranks = ranks
    var report = EvaluationReport()
    if let perplexity {
      if let corpus = perplexity.corpus {
        try texts.wait(for: corpus, ranks, isInterrupted: isInterrupted)
      }
      let text = try ranks.together {
        try Perplexity(
          perplexity.tokens, sequenceLength: perplexity.sequenceLength, of: evaluated)
      }
      report.perplexity = try text.measure()
    }
    for item in tasks {
      report.tasks.append(
        try item.task.measure(evaluated, seed: seed, tokenizer: item.tokenizer))
    }
    for item in fileTasks {
      report.fileTasks.append(try item.task.measure(evaluated, tokenizer: item.tokenizer))
    }
    return report
  }

  /// Drops the rows of later steps than the one that a run goes on from: they are of another past.
  ///
  /// - Throws: `MetricsError`.
  package func forget(after step: Int) throws(MetricsError) {
    try MetricsLog.forget(after: step, in: path)
  }

  /// Appends a row, replacing rows of this and later steps (a resumed run measures again).
  ///
  /// - Parameters:
  ///   - report: what was measured.
  ///   - step: steps done.
  ///   - log: where it goes beside the row.
  /// - Throws: what writing can throw.
  package func write(_ report: EvaluationReport, step: Int, log: Logger) throws {
    for scalar in report.scalars {
      let error = String(format: "%.4f +- %.4f", scalar.value, scalar.standardError)
      log.info("step \(step)  evaluation: \(scalar.name) \(error)")
    }
    guard case .object(let members) = report.json else { return }
    let row = JSONValue.object([JSONMember("step", .integer(step))] + members)
    var file = try MetricsLog(path: path, resumingAfter: step - 1)
    try file.append(row.line, step: step)
    try file.synchronize()
  }
}
