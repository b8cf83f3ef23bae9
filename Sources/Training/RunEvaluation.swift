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
  private struct Item {
    var task: EvaluationTask
    var tokenizer: (any Tokenizer)?
  }

  private let items: [Item]
  private let perplexity: Recipe.Evaluation.Perplexity?
  /// The token files that are measured on.
  private(set) var files: [MegatronTokens]
  private let every: Int
  private let seed: UInt64
  private let segmentLength: Int
  private let path: String

  /// Reads the recipe's tasks, and checks that everything can be measured that will be: text that opens
  /// and is long enough, tasks that fit their lengths and the vocabulary.
  ///
  /// - Throws: `EvaluationError`, `RecallTaskError`, `TokenDataError`;
  ///   `TrainingError.unsupported` for a missing tokenizer.
  package init(_ recipe: Recipe, model: RunModel) throws {
    var items: [Item] = []
    for plan in recipe.evaluation.tasks {
      let tasks = try EvaluationTask.tasks(
        name: plan.task.name, options: plan.task.options,
        defaults: .init(lengths: plan.lengths, samples: plan.samples))
      for task in tasks {
        var item = Item(task: task)
        if task.configuration.needsTokenizer {
          item.tokenizer = try runTokenizer(
            plan.task.tokenizer, model: model, user: "the task \(plan.task.name)")
        }
        items.append(item)
      }
    }
    try EvaluationTask.requireDistinctNames(items.map(\.task.name))
    self.items = items
    perplexity = recipe.evaluation.perplexity
    every = recipe.evaluation.every
    seed = recipe.run.seed
    segmentLength = recipe.train.segmentLength
    path = recipe.run.output + "/evaluation.jsonl"
    files = []
    if every > 0 { try check(vocabulary: model.configuration.vocabularySize) }
  }

  private mutating func check(vocabulary: Int) throws {
    if let perplexity {
      files = try Perplexity.open(
        perplexity.stored.measured, sequenceLength: perplexity.sequenceLength,
        vocabulary: vocabulary
      ).source.files
    }
    for item in items {
      try item.task.check(vocabulary: vocabulary, seed: seed, tokenizer: item.tokenizer)
    }
  }

  /// Floats that measuring holds at most beside what training holds.
  package func memory(_ model: LanguageModel) -> Int {
    guard every > 0 else { return 0 }
    let text = perplexity.map {
      Perplexity.memory(model, sequenceLength: $0.sequenceLength, segmentLength: segmentLength)
    }
    let tasks = items.map { $0.task.memory(model, segmentLength: segmentLength) }
    return ([text ?? 0] + tasks).max() ?? 0
  }

  /// Whether something is measured after `step`, the last being `last`.
  package func isDue(step: Int, last: Int) -> Bool {
    every > 0 && !(items.isEmpty && perplexity == nil)
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
      let text = try ranks.together {
        try Perplexity(
          perplexity.stored.measured, sequenceLength: perplexity.sequenceLength, of: evaluated)
      }
      report.perplexity = try text.measure()
    }
    for item in items {
      report.tasks.append(
        try item.task.measure(evaluated, seed: seed, tokenizer: item.tokenizer))
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
