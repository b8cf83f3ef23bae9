import CommandSupport
import Evaluation
import Foundation
import RecallTasks

/// A report as lines for people.
struct EvaluationTable {
  private var rows = [["what", "metric", "value", "stderr", "samples", "chance"]]

  init(_ report: EvaluationReport) {
    if let result = report.perplexity { add(result) }
    for task in report.tasks { add(task) }
    for task in report.fileTasks { add(task) }
  }

  var text: String { alignedTable(rows) }

  private mutating func add(_ result: Perplexity.Result) {
    let count = "\(result.tokens) tokens"
    let error = result.standardError
    rows.append(["perplexity", "nll", decimal(result.nll), decimal(error), count, ""])
    // The error of a function of the mean: times its derivative.
    let perplexity = exp(result.nll)
    rows.append(["", "exp(nll)", decimal(perplexity), decimal(perplexity * error), "", ""])
    if let (value, error) = result.bitsPerByte {
      rows.append(["", "bits_per_byte", decimal(value), decimal(error), "", ""])
    }
    for (range, nll) in result.positions where range.upperBound > 1 {
      let name = "  tokens \(range.lowerBound + 1) to \(range.upperBound)"
      rows.append([name, "nll", decimal(nll.mean), decimal(nll.standardError), "", ""])
    }
  }

  private mutating func add(_ task: TaskResult) {
    let chance = task.chance.map(decimal) ?? ""
    rows.append([task.name, task.metric] + cells(task.summary) + [chance])
    guard task.lengths.count > 1 else { return }
    for length in task.lengths {
      rows.append(
        ["  \(length.sequenceLength)", task.metric] + cells(ScoreSummary(length.scores)) + [""])
    }
  }

  private mutating func add(_ task: FileTaskResult) {
    add(task.metrics, task.name, task.samples)
    for group in task.groups {
      add(group.metrics, "  \(group.field) \(group.value)", group.samples)
    }
    if task.cutSamples > 0 {
      rows.append(["", "samples that were cut", "\(task.cutSamples)", "", "", ""])
    }
  }

  private mutating func add(_ metrics: [FileTaskResult.Metric], _ name: String, _ samples: Int) {
    for (index, metric) in metrics.enumerated() {
      let (value, error) = (metric.value.value, metric.value.standardError)
      rows.append(
        [index == 0 ? name : "", metric.name, decimal(value), decimal(error), "\(samples)", ""])
    }
  }

  private func cells(_ summary: ScoreSummary) -> [String] {
    [decimal(summary.mean), decimal(summary.standardError), "\(summary.samples)"]
  }

  private func decimal(_ value: Double) -> String { String(format: "%.4f", value) }
}
