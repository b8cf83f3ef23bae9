/// What one key is, for a person: the row of a table, and the answer of `statex help recipe`.
public struct FieldKey: Sendable, Equatable {
  /// The dotted path, for example `train.optimizer.lr`.
  public var path: String
  /// What is written there, for example `integer`.
  public var type: String
  /// What it counts, or empty.
  public var unit = ""
  /// Its value where it is left out; `required` where there is none.
  public var standard: String
  /// The values that it may have, or empty for all of its type.
  public var range = ""
  /// What it means, in half a sentence.
  public var meaning: String

  /// Names the parts.
  public init(
    path: String, type: String, unit: String = "", standard: String, range: String = "",
    meaning: String
  ) {
    (self.path, self.type, self.unit) = (path, type, unit)
    (self.standard, self.range, self.meaning) = (standard, range, meaning)
  }

  /// The same key below another.
  public func below(_ parent: String) -> FieldKey {
    var key = self
    key.path = parent + "." + path
    return key
  }

  /// The heads of the table's columns.
  private static let heads = ["key", "type", "unit", "default", "range", "meaning"]

  /// The cells of the key's row.
  private var cells: [String] { ["`\(path)`", type, unit, standard, range, meaning] }

  /// A Markdown table of keys; columns that are empty throughout are left out.
  public static func table(_ keys: [FieldKey]) -> String {
    table([heads] + keys.map(\.cells))
  }

  /// The same for several groups of keys, whose names stand in a column before; `head` is its head.
  public static func table(_ groups: [(name: String, keys: [FieldKey])], head: String) -> String {
    table(
      [[head] + heads]
        + groups.flatMap { group in
          group.keys.enumerated().map { index, key in
            [index == 0 ? "`\(group.name)`" : ""] + key.cells
          }
        })
  }

  private static func table(_ rows: [[String]]) -> String {
    let columns = rows[0].indices.filter { column in
      rows.dropFirst().contains { !$0[column].isEmpty }
    }
    func line(_ cells: [String]) -> String {
      "| " + columns.map { cells[$0] }.joined(separator: " | ") + " |"
    }
    let rule = "|" + String(repeating: "---|", count: columns.count)
    return ([line(rows[0]), rule] + rows.dropFirst().map(line)).joined(separator: "\n")
  }

  /// The key on a few lines, for a terminal.
  public var text: String {
    let plain = { (text: String) in text.filter { $0 != "`" } }
    var lines = ["\(path)  (\(plain(type))\(unit.isEmpty ? "" : ", \(unit)"))"]
    lines.append("  " + plain(meaning))
    lines.append(
      "  default: " + plain(standard) + (range.isEmpty ? "" : "; range: " + plain(range)))
    return lines.joined(separator: "\n")
  }
}
