import JSON
import Reports

/// A comparison as rows: one for each number of each column, and one for each difference.
struct ComparisonTable {
  private static let names = [
    "task", "metric", "length", "depth", "group", "name", "value", "stderr", "samples",
    "difference", "difference_stderr", "difference_low", "difference_high", "pairs",
  ]

  /// Members in the order of `names`; null where a number does not apply.
  private var rows: [[JSONValue]] = []

  init(_ columns: [MeasuredColumn], _ keys: [MeasuredKey], _ differences: [PairedDifferences]) {
    for key in keys {
      for (index, column) in columns.enumerated() {
        guard let value = column.values.first(where: { $0.key == key })?.value else { continue }
        let difference = index > 0 ? differences[index - 1].values[key] : nil
        rows.append(
          [
            .string(key.task), .string(key.metric), key.length.map { .integer($0) } ?? .null,
            key.depth.map { .number($0) } ?? .null, key.group.map { .string($0) } ?? .null,
            .string(column.title), Self.number(value.value), Self.number(value.standardError),
            value.samples.map { .integer($0) } ?? .null, Self.number(difference?.mean),
            Self.number(difference?.standardError), Self.number(difference?.interval.lowerBound),
            Self.number(difference?.interval.upperBound),
            difference.map { .integer($0.samples) } ?? .null,
          ])
      }
    }
  }

  private static func number(_ value: Double?) -> JSONValue {
    value.map { JSONValue($0) } ?? .null
  }

  var json: JSONValue {
    .array(rows.map { row in .object(zip(Self.names, row).map { JSONMember($0, $1) }) })
  }

  /// With a first line of names; texts are quoted where they need it.
  var csv: String {
    let lines = rows.map { row in
      row.map { value in
        switch value {
        case .number(let text): text
        case .string(let text): Self.quoted(text)
        default: ""
        }
      }.joined(separator: ",")
    }
    return ([Self.names.joined(separator: ",")] + lines).joined(separator: "\n")
  }

  private static func quoted(_ text: String) -> String {
    guard text.contains(where: { ",\"\r\n".contains($0) }) else { return text }
    return "\"" + text.replacing("\"", with: "\"\"") + "\""
  }
}
