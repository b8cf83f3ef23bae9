import ArgumentParser
import Fields

/// A task on the command line: `NAME` or `NAME:key=value,key=[1,2,3]`.
struct TaskArgument: ExpressibleByArgument {
  let name: String
  /// A mapping that stands in the argument.
  let options: FieldValue

  init?(argument: String) {
    let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    name = String(parts[0])
    guard !name.isEmpty else { return nil }
    let place = FieldPlace.source("--task " + argument)
    var options = FieldValue(.mapping([]), place: place)
    for entry in parts.count == 2 ? Self.entries(parts[1]) : [] {
      let pair = entry.split(separator: "=", maxSplits: 1)
      guard pair.count == 2, let value = Self.option(pair[1], place),
        options[String(pair[0])] == nil
      else { return nil }
      options[String(pair[0])] = value
    }
    self.options = options
  }

  /// Cuts at the commas that stand outside brackets.
  private static func entries(_ text: Substring) -> [Substring] {
    var depth = 0
    return text.split { character in
      if character == "[" { depth += 1 }
      if character == "]" { depth -= 1 }
      return character == "," && depth == 0
    }
  }

  private static func option(_ text: Substring, _ place: FieldPlace) -> FieldValue? {
    let kind: FieldValue.Kind
    if text.hasPrefix("[") {
      let elements = text.dropFirst().dropLast().split(separator: ",")
      // No option is a list of lists.
      guard text.hasSuffix("]"), !elements.contains(where: { $0.hasPrefix("[") }) else {
        return nil
      }
      let values = elements.compactMap { option($0, place) }
      guard values.count == elements.count else { return nil }
      kind = .list(values)
    } else if let value = Int(text) {
      kind = .integer(value)
    } else if let value = Double(text) {
      kind = .number(value)
    } else if let value = Bool(String(text)) {
      kind = .flag(value)
    } else {
      kind = .text(String(text))
    }
    return FieldValue(kind, place: place)
  }
}
