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
/// The lead rank measures; the others wait. Every row of `evaluation.jsonl` is a report as `statex
/// evaluate` writes it, with its step.
package struct RunEvaluation {
  private struct Item {
    var task: EvaluationTask
    var tokenizer: (any Tokenizer)?
  }

  private let items: [Item]
  private let perplexity: Recipe.Evaluation.Perplexity?
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
        defaults: .init(sequenceLength: plan.sequenceLength, samples: plan.samples))
      for task in tasks {
        var item = Item(task: task)
        if task.configuration.needsTokenizer {
          item.tokenizer = try runTokenizer(
            plan.task.tokenizer, model: model, task: plan.task.name)
        }
        items.append(item)
      }
    }
    try EvaluationTask.requireDistinctNames(items.map(\.task))
    self.items = items
    perplexity = recipe.evaluation.perplexity
    every = recipe.evaluation.every
    seed = recipe.run.seed
    segmentLength = recipe.train.segmentLength
    path = recipe.run.output + "/evaluation.jsonl"
    if every > 0 { try check(vocabulary: model.configuration.vocabularySize) }
  }

  private func check(vocabulary: Int) throws {
    if let perplexity {
      _ = try Perplexity.open(
        prefix: perplexity.tokens, sequenceLength: perplexity.sequenceLength,
        vocabulary: vocabulary)
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

  /// Measures and appends a row, replacing rows of this and later steps (a resumed run measures
  /// again).
  ///
  /// - Parameters:
  ///   - step: steps done.
  ///   - model: what is measured.
  ///   - parameters: its parameters.
  ///   - log: where results go beside the row.
  ///   - isInterrupted: asked between samples and segments; once it says true there will be no row.
  /// - Throws: what measuring and writing can throw; `EvaluationError.interrupted`.
  package func run(
    step: Int, model: LanguageModel, parameters: FloatBuffer, log: Logger,
    isInterrupted: @escaping () -> Bool
  ) throws {
    var evaluated = EvaluatedModel(model, parameters: parameters, segmentLength: segmentLength)
    evaluated.isInterrupted = isInterrupted
    var report = EvaluationReport()
    if let perplexity {
      report.perplexity = try Perplexity(
        prefix: perplexity.tokens, sequenceLength: perplexity.sequenceLength, of: evaluated
      ).measure()
      let nll = String(format: "%.4f", report.perplexity?.nll ?? 0)
      log.info("step \(step)  evaluation: \(nll) nats a token of text")
    }
    for item in items {
      let result = try item.task.measure(evaluated, seed: seed, tokenizer: item.tokenizer)
      report.tasks.append(result)
      let mean = String(format: "%.4f", result.summary.mean)
      log.info("step \(step)  evaluation: \(result.name) \(result.metric) \(mean)")
    }
    guard case .object(let members) = report.json else { return }
    let row = JSONValue.object([JSONMember("step", .integer(step))] + members)
    // The encoder indents; inside JSON a line break is only ever white space.
    let line = String(decoding: row.encoded(), as: UTF8.self).split(separator: "\n")
      .map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: " ")
    var file = try MetricsLog(path: path, resumingAfter: step - 1)
    try file.append(line, step: step)
    try file.synchronize()
  }
}
