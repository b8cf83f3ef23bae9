import ArgumentParser
import CommandSupport
import Foundation
import JSON
import Reports

/// `statex compare`: several evaluations side by side, and their differences on the same samples.
struct CompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare", abstract: "Print evaluations side by side, with paired differences.",
    discussion: """
      PATH is a report of `statex evaluate --json`, a log of samples (--sample-log), or a run: its last \
      evaluation. Example: statex compare LPT=lpt.jsonl StateX=statex.jsonl. Numbers are means and \
      their standard errors. Of logs of samples, the differences from the first are shown too, over the \
      samples that both have: mean, standard error, and the interval that holds 95 % of 1000 bootstrap \
      samples.
      """)

  enum Format: String, CaseIterable, ExpressibleByArgument {
    case text, csv, json
  }

  @Argument(help: "Evaluations as NAME=PATH, in the order of the columns.")
  var evaluations: [String]

  @Flag(help: "Also show every length of a sample, and the groups of task files.")
  var byLength = false

  @Flag(help: "Also show every depth of a needle.")
  var byDepth = false

  @Option(help: "How to print: text, csv or json; csv and json have all lengths and depths.")
  var format = Format.text

  @Option(help: "The random seed of the bootstrap.")
  var seed: UInt64 = 0

  func run() throws {
    let columns = try evaluations.map(Self.column)
    var keys: [MeasuredKey] = []
    var seen: Set<MeasuredKey> = []
    for (key, _) in columns.flatMap(\.values) where seen.insert(key).inserted { keys.append(key) }
    let differences = try columns.dropFirst().map {
      try PairedDifferences(of: $0, from: columns[0], keys, seed: seed)
    }
    switch format {
    case .text: printText(columns, keys.filter(isShown), differences)
    case .csv: print(ComparisonTable(columns, keys, differences).csv)
    case .json: printJSON(ComparisonTable(columns, keys, differences).json)
    }
  }

  /// Reads what is at NAME=PATH.
  private static func column(_ argument: String) throws -> MeasuredColumn {
    let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2 else { throw CommandError.usage("`\(argument)` is not NAME=PATH") }
    return try MeasuredColumn(title: parts[0], path: parts[1])
  }

  private func isShown(_ key: MeasuredKey) -> Bool {
    key.isWhole || byDepth && key.depth != nil || (byLength || byDepth) && key.depth == nil
  }

  // MARK: Text

  private func printText(
    _ columns: [MeasuredColumn], _ keys: [MeasuredKey], _ differences: [PairedDifferences]
  ) {
    var table = [[""] + columns.map(\.title)]
    for key in keys {
      let cells = columns.map { column in
        column.values.first { $0.key == key }.map { Self.cell($0.value, key) } ?? "-"
      }
      table.append([Self.label(key)] + cells)
    }
    printTable(table)
    guard differences.contains(where: { !$0.values.isEmpty }) else { return }
    print()
    table = [["difference from \(columns[0].title)"] + differences.map(\.title)]
    for key in keys {
      let cells = differences.map { $0.values[key].map { Self.cell($0, key) } ?? "-" }
      if cells.contains(where: { $0 != "-" }) { table.append([Self.label(key)] + cells) }
    }
    printTable(table)
  }

  private func printTable(_ table: [[String]]) {
    let widths = table[0].indices.map { column in table.map { $0[column].count }.max() ?? 0 }
    for row in table {
      let cells = zip(row, widths).enumerated().map { index, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return index == 0 ? cell.0 + padding : padding + cell.0
      }
      print(cells.joined(separator: "  "))
    }
  }

  private static func label(_ key: MeasuredKey) -> String {
    guard key.task != "perplexity" else { return "text loss (nats)" }
    var place = ""
    if let length = key.length { place += "  \(length) tokens" }
    if let depth = key.depth { place += ", depth to \(depth)" }
    if let group = key.group { place += "  \(group)" }
    let unit = key.isShare ? " (%)" : ""
    return place.isEmpty ? "\(key.task) \(key.metric)\(unit)" : "  \(key.task)\(place)"
  }

  private static func cell(_ value: MeasuredValue, _ key: MeasuredKey) -> String {
    let error = value.standardError.map { " +- " + number($0, key) } ?? ""
    return number(value.value, key) + error
  }

  private static func cell(_ difference: PairedDifferences.Difference, _ key: MeasuredKey) -> String
  {
    let sign = difference.mean < 0 ? "" : "+"
    return "\(sign)\(number(difference.mean, key)) +- \(number(difference.standardError, key))"
      + " [\(number(difference.interval.lowerBound, key)), \(number(difference.interval.upperBound, key))]"
  }

  private static func number(_ value: Double, _ key: MeasuredKey) -> String {
    key.isShare ? String(format: "%.1f", 100 * value) : String(format: "%.4f", value)
  }
}
