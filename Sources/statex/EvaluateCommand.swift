import ArgumentParser
import CommandSupport
import Evaluation
import Files
import Foundation
import RecallTasks
import TokenData

/// `statex evaluate`: loss on stored text and scores on recall tasks.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Measure a model's loss and recall.",
    discussion: """
      Tasks: \(RecallTaskConfiguration.names.joined(separator: ", ")). Each takes its own options and \
      sequence_length, samples and as, for example --task mqar:pairs=[8,16],vocab=256.
      """)

  @Option(help: "A Hugging Face model directory.")
  var model: String

  @Option(help: "Text to measure the loss on: PREFIX of PREFIX.bin and PREFIX.idx.")
  var perplexity: String?

  @Option(help: "Tokens per sample.")
  var sequenceLength = 2048

  @Option(help: "Measure the loss on the first N sequences only.")
  var sequences: Int?

  @Flag(help: "Also report the loss of each token of the first sequence.")
  var perToken = false

  @Option(help: "A recall task: NAME or NAME:key=value,... (repeatable).")
  var task: [TaskArgument] = []

  @Option(help: "Samples per task and length.")
  var samples = 100

  @Option(help: "The tokenizer for text tasks: a directory or `byte` (default: the model's).")
  var tokenizer: String?

  @Option(help: "The random seed of the tasks' samples.")
  var seed: UInt64 = 0

  @Option(help: "Write the report to this file, as JSON.")
  var json: String?

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    guard perplexity != nil || !task.isEmpty else {
      throw ValidationError("nothing to measure: give --perplexity PREFIX or --task NAME")
    }
    try requireCount(sequenceLength, "--sequence-length")
    try requireCount(samples, "--samples")
    try requireCount(sequences ?? 1, "--sequences")
    guard !perToken || perplexity != nil else {
      throw ValidationError("--per-token needs --perplexity")
    }
  }

  func run() throws {
    let defaults = EvaluationTask.Defaults(sequenceLength: sequenceLength, samples: samples)
    let tasks = try task.flatMap {
      try EvaluationTask.tasks(name: $0.name, options: $0.options, defaults: defaults)
    }
    try EvaluationTask.requireDistinctNames(tasks)
    if let json { try FileSystem.requireCreatable(json) }
    let needsTokenizer = tasks.contains { $0.configuration.needsTokenizer }
    let words = needsTokenizer ? try loadTokenizer(tokenizer ?? model) : nil
    let evaluated = try compute.load(model)
    var report = EvaluationReport()
    if let perplexity {
      report.perplexity = try Perplexity(
        prefix: perplexity, sequenceLength: sequenceLength, limit: sequences, of: evaluated
      ).measure(perToken: perToken)
    }
    for task in tasks {
      report.tasks.append(try task.measure(evaluated, seed: seed, tokenizer: words))
    }
    if let json { try FileReplacement.write(report.json.encoded() + [0x0A], to: json) }
    print(table(report))
  }

  private func table(_ report: EvaluationReport) -> String {
    var rows = [["what", "metric", "value", "stderr", "samples", "chance"]]
    if let result = report.perplexity {
      rows.append(["perplexity", "nll", decimal(result.nll), "", "\(result.tokens) tokens", ""])
      rows.append(["", "exp(nll)", decimal(exp(result.nll)), "", "", ""])
    }
    for task in report.tasks {
      let chance = task.chance.map(decimal) ?? ""
      rows.append([task.name, task.metric] + cells(task.summary) + [chance])
      guard task.lengths.count > 1 else { continue }
      for length in task.lengths {
        rows.append(
          ["  \(length.sequenceLength)", task.metric] + cells(ScoreSummary(length.scores)) + [""])
      }
    }
    return alignedTable(rows)
  }

  private func cells(_ summary: ScoreSummary) -> [String] {
    [decimal(summary.mean), decimal(summary.standardError), "\(summary.samples)"]
  }

  private func decimal(_ value: Double) -> String { String(format: "%.4f", value) }
}
