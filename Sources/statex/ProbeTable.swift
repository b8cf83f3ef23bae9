import CommandSupport
import Evaluation
import Foundation
import RecallTasks

/// A probe's report as lines for people.
struct ProbeTable {
  let text: String

  init(_ report: ProbeReport) {
    text = [Self.intact(report), Self.states(report), Self.cuts(report)]
      .map(alignedTable).joined(separator: "\n\n")
  }

  private static func intact(_ report: ProbeReport) -> [[String]] {
    [["intact", "tokens", "samples", "accuracy (%)", "loss (nats)"]]
      + report.subjects.map { subject in
        [
          subject.name, "\(subject.sequenceLength)", "\(subject.accuracy.samples)",
          percent(subject.accuracy), nats(subject.loss),
        ]
      }
  }

  /// Effective ranks and energy, head by head.
  private static func states(_ report: ProbeReport) -> [[String]] {
    var rows = [["layer", "state", "after", "effective rank by head", "of", "energy by head (%)"]]
    for (index, layer) in report.layers.enumerated() {
      for (subject, heads) in zip(report.subjects, layer.states) {
        let ranks = heads.map { String(format: "%.1f", $0.effectiveRank.mean) }
        let energy = heads.map { String(format: "%.0f", 100 * $0.energyShare.mean) }
        rows.append([
          "\(index)", layer.stateShape, subject.name, ranks.joined(separator: " "),
          "\(layer.largestRank)", energy.joined(separator: " "),
        ])
      }
    }
    return rows
  }

  private static func cuts(_ report: ProbeReport) -> [[String]] {
    var rows = [
      ["layer", "every", "keeps rank", "on", "accuracy lost (points)", "loss gained (nats)"]
    ]
    for (index, layer) in report.layers.enumerated() {
      for cut in layer.cuts {
        rows.append([
          "\(index)", "\(cut.window)", "\(cut.rank)", cut.name, percent(cut.accuracyLost),
          nats(cut.lossGained),
        ])
      }
    }
    return rows
  }

  private static func percent(_ value: ScoreSummary) -> String {
    guard value.mean.isFinite else { return "-" }
    return String(format: "%.1f +- %.1f", 100 * value.mean, 100 * value.standardError)
  }

  private static func nats(_ value: ScoreSummary) -> String {
    guard value.mean.isFinite else { return "-" }
    return String(format: "%.4f +- %.4f", value.mean, value.standardError)
  }
}
