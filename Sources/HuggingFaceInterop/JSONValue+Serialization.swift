extension JSONValue {
  /// The text of this value; keys keep their order and numbers their spelling.
  ///
  /// - Parameter indentation: spaces a level, or nil for one line.
  public func serialized(indentation: Int? = 2) -> String {
    var text = ""
    write(to: &text, indentation: indentation, level: 0)
    return text
  }

  private func write(to text: inout String, indentation: Int?, level: Int) {
    switch self {
    case .null: text += "null"
    case .bool(let flag): text += flag ? "true" : "false"
    case .number(let number): text += number.literal
    case .string(let string): Self.write(string, to: &text)
    case .array(let values):
      Self.writeList(
        values, between: ("[", "]"), to: &text, indentation: indentation, level: level
      ) { value, text in
        value.write(to: &text, indentation: indentation, level: level + 1)
      }
    case .object(let object):
      Self.writeList(
        object.members, between: ("{", "}"), to: &text, indentation: indentation, level: level
      ) { member, text in
        Self.write(member.key, to: &text)
        text += ": "
        member.value.write(to: &text, indentation: indentation, level: level + 1)
      }
    }
  }

  private static func writeList<Element>(
    _ elements: [Element], between brackets: (open: String, close: String), to text: inout String,
    indentation: Int?, level: Int, element write: (Element, inout String) -> Void
  ) {
    text += brackets.open
    for (index, element) in elements.enumerated() {
      if index > 0 { text += indentation == nil ? ", " : "," }
      newLine(&text, indentation: indentation, level: level + 1)
      write(element, &text)
    }
    if !elements.isEmpty { newLine(&text, indentation: indentation, level: level) }
    text += brackets.close
  }

  private static func newLine(_ text: inout String, indentation: Int?, level: Int) {
    guard let indentation else { return }
    text += "\n" + String(repeating: " ", count: indentation * level)
  }

  private static func write(_ string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{0}"..<"\u{20}":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
