import Fields

extension FieldValue {
  /// The value as YAML that parses back to an equal value; a mapping ends with a newline.
  var yaml: String {
    var lines: [String] = []
    switch kind {
    case .mapping(let entries) where !entries.isEmpty:
      Self.append(entries, indent: "", to: &lines)
      return lines.joined(separator: "\n") + "\n"
    default:
      return oneLine
    }
  }

  private static func append(_ entries: [Entry], indent: String, to lines: inout [String]) {
    for entry in entries {
      let key = indent + word(entry.key) + ":"
      switch entry.value.kind {
      case .mapping(let inner) where !inner.isEmpty:
        lines.append(key)
        append(inner, indent: indent + "  ", to: &lines)
      case .list(let elements) where elements.contains { $0.isNonEmptyMapping }:
        lines.append(key)
        append(elements, indent: indent + "  ", to: &lines)
      default:
        lines.append(key + " " + entry.value.oneLine)
      }
    }
  }

  private static func append(_ elements: [FieldValue], indent: String, to lines: inout [String]) {
    for element in elements {
      let first = lines.count
      if case .mapping(let entries) = element.kind, !entries.isEmpty {
        append(entries, indent: indent + "  ", to: &lines)
        lines[first] = indent + "- " + lines[first].dropFirst(indent.count + 2)
      } else {
        lines.append(indent + "- " + element.oneLine)
      }
    }
  }

  private var isNonEmptyMapping: Bool {
    if case .mapping(let entries) = kind { !entries.isEmpty } else { false }
  }

  /// The value as YAML on one line.
  var oneLine: String {
    switch kind {
    case .null: "null"
    case .flag(let flag): "\(flag)"
    case .integer(let integer): "\(integer)"
    case .number(let number): "\(number)"
    case .text(let text): Self.word(text)
    case .list(let elements): "[" + elements.map(\.oneLine).joined(separator: ", ") + "]"
    case .mapping(let entries):
      "{"
        + entries.map { Self.word($0.key) + ": " + $0.value.oneLine }.joined(separator: ", ") + "}"
    }
  }

  // Made once: a pattern is compiled where it is written. Nothing of it changes when it is used.
  nonisolated(unsafe) private static let safePattern = /[A-Za-z_\/][A-Za-z0-9_.\/-]*/

  /// Text without quotes where that cannot be misread, else quoted.
  private static func word(_ text: String) -> String {
    let isSafe = text.wholeMatch(of: safePattern) != nil
    return isSafe && Kind(plain: text) == .text(text) ? text : quoted(text)
  }

  /// A double-quoted string with JSON's escapes, which YAML shares.
  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _
      where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
        || [0x2028, 0x2029, 0xFEFF].contains(scalar.value):
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
