import Charts
import LanguageModels

/// What each model is and what it reached, in one table.
enum SummarySection {
  static func section(_ subjects: [ReportSubject]) -> Page.Section {
    let columns = columns.filter { column in subjects.contains { column.text($0) != nil } }
    let rows = subjects.map { subject in
      [subject.title] + columns.map { $0.text(subject) ?? "-" }
    }
    let caption =
      "Models at a glance. The loss of training is the mean over the last tenth of the logged steps; "
      + "numbers behind \u{B1} are standard errors."
    guard !columns.isEmpty else { return Page.Section("Summary", []) }
    return Page.Section(
      "Summary",
      [.table(Page.Table(caption, head: ["model"] + columns.map(\.name), rows))])
  }

  private static var columns: [(name: String, text: (ReportSubject) -> String?)] {
    [
      ("family", { $0.run?.model?.family.name }),
      ("parameters", { $0.run?.model.map { NumberText.grouped($0.layout().parameterCount) } }),
      ("state (numbers)", { $0.run?.model.map { NumberText.grouped($0.recurrentStateCount) } }),
      ("steps", { $0.run?.curves.map { NumberText.grouped($0.steps) } }),
      ("tokens", { $0.run?.curves.map { NumberText.grouped($0.tokens) } }),
      ("training loss", { $0.run?.curves?.lastLoss.map { NumberText.fixed($0, 4) } }),
      ("text loss (nats)", textLoss),
      ("tokens/s", { $0.run?.curves?.lastThroughput.map { NumberText.short($0) } }),
      ("time of steps", { $0.run?.curves.map { NumberText.duration($0.seconds) } }),
    ]
  }

  private static func textLoss(_ subject: ReportSubject) -> String? {
    let key = MeasuredKey(task: "perplexity", metric: "nll")
    return subject.measured?.value(key).map { $0.text(key) }
  }
}

extension MeasuredColumn {
  /// The number of a key.
  func value(_ key: MeasuredKey) -> MeasuredValue? { values.first { $0.key == key }?.value }
}
