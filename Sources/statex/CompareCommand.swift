import ArgumentParser
import CommandSupport
import Files
import Foundation
import JSON

/// `statex compare`: several reports of `statex evaluate` side by side.
struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare", abstract: "Print evaluation reports side by side.",
    discussion: """
      Example: statex compare LPT=runs/lpt.json StateX=runs/statex.json. A task shows its metric and \
      the standard error of the mean; perplexity shows nats a token.
      """)

  @Argument(help: "Reports as NAME=FILE, in the order of the columns.")
  var reports: [String]

  func run() throws {
    let columns = try reports.map(Column.init)
    var rows: [String] = []
    for name in columns.flatMap(\.names) where !rows.contains(name) { rows.append(name) }
    var table = [[""] + columns.map(\.title)]
    for row in rows {
      table.append([row] + columns.map { $0.cells[row] ?? "-" })
    }
    let widths = table[0].indices.map { column in table.map { $0[column].count }.max() ?? 0 }
    for row in table {
      let cells = zip(row, widths).enumerated().map { index, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + padding : padding + cell.0
      }
      print(cells.joined(separator: "  "))
    }
  }

  /// One report: what it measured, as text.
  private struct Column {
    let title: String
    var names: [String] = []
    var cells: [String: String] = [:]

    init(_ argument: String) throws {
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else {
        throw CommandError.usage("`\(argument)` is not NAME=FILE")
      }
      title = parts[0]
      let data = Data(try InputFile.contents(of: parts[1]))
      guard let report = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
        throw CommandError.data("\(parts[1]): not a report of `statex evaluate`")
      }
      if let perplexity = report["perplexity"] as? [String: Any],
        let nll = perplexity["nll"] as? Double
      {
        add("text loss (nats)", String(format: "%.4f", nll))
      }
      let tasks = report["tasks"] as? [String: [String: Any]] ?? [:]
      let known: Set = ["stderr", "samples", "chance", "lengths", "depths"]
      let sorted = tasks.sorted {
        $0.key.compare($1.key, options: .numeric) == .orderedAscending
      }
      for (name, task) in sorted {
        let metric = task.keys.filter { !known.contains($0) }.sorted().first
        guard let metric, let value = task[metric] as? Double else { continue }
        let error = (task["stderr"] as? Double).map { String(format: " +- %.1f", 100 * $0) } ?? ""
        add("\(name) \(metric) (%)", String(format: "%.1f", 100 * value) + error)
      }
    }

    private mutating func add(_ name: String, _ cell: String) {
      names.append(name)
      cells[name] = cell
    }
  }
}
