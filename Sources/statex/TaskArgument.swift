import ArgumentParser
import RecallTasks

/// A task on the command line: `NAME` or `NAME:key=value,key=[1,2,3]`.
struct TaskArgument: ExpressibleByArgument {
  let name: String
  let options: [String: TaskOption]

  init?(argument: String) {
    let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    name = String(parts[0])
    guard !name.isEmpty else { return nil }
    var options: [String: TaskOption] = [:]
    for entry in parts.count == 2 ? Self.entries(parts[1]) : [] {
      let pair = entry.split(separator: "=", maxSplits: 1)
      guard pair.count == 2, let value = Self.option(pair[1]),
        options.updateValue(value, forKey: String(pair[0])) == nil
      else { return nil }
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

  private static func option(_ text: Substring) -> TaskOption? {
    if text.hasPrefix("[") {
      guard text.hasSuffix("]") else { return nil }
      let elements = text.dropFirst().dropLast().split(separator: ",")
      let values = elements.compactMap { option($0) }
      return values.count == elements.count ? .list(values) : nil
    }
    if let value = Int(text) { return .int(value) }
    if let value = Double(text) { return .double(value) }
    if let value = Bool(String(text)) { return .bool(value) }
    return .string(String(text))
  }
}
