import ArgumentParser
import Evaluation
import Fields
import RecallTasks

/// A task on the command line: `NAME` or `NAME:key=value,key=[1,2,3]`.
struct TaskArgument: ExpressibleByArgument {
  let name: String
  /// A mapping that stands in the argument.
  let options: FieldValue

  init?(argument: String) {
    let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    name = String(parts[0])
    guard !name.isEmpty else { return nil }
    let text = parts.count == 2 ? parts[1] : ""
    guard let options = FieldValue(options: text, place: .source("--task " + argument)) else {
      return nil
    }
    self.options = options
  }
}

/// A task in files on the command line: `DIR` or `DIR:samples=N,as=NAME`.
struct TaskFileArgument: ExpressibleByArgument {
  let path: String
  /// A mapping that stands in the argument.
  private let options: FieldValue

  init?(argument: String) {
    let place = FieldPlace.source("--task-file " + argument)
    // Directories may have a colon in their names.
    if let colon = argument.lastIndex(of: ":"), argument[colon...].contains("=") {
      guard
        let options = FieldValue(options: argument[colon...].dropFirst(), place: place)
      else { return nil }
      (path, self.options) = (String(argument[..<colon]), options)
    } else {
      (path, options) = (argument, FieldValue(.mapping([]), place: place))
    }
    guard !path.isEmpty else { return nil }
  }

  /// What is measured.
  ///
  /// - Throws: `RecallTaskError.field`, naming the option.
  var plan: FileTaskPlan {
    get throws(RecallTaskError) { try FileTaskPlan(path: path, options: options) }
  }
}

extension FieldValue {
  /// A mapping of options: `key=value,key=[1,2,3]`; nil where the text is none.
  fileprivate init?(options text: Substring, place: FieldPlace) {
    var options = FieldValue(.mapping([]), place: place)
    for entry in Self.entries(text) {
      let pair = entry.split(separator: "=", maxSplits: 1)
      guard pair.count == 2, let value = Self.option(pair[1], place),
        options[String(pair[0])] == nil
      else { return nil }
      options[String(pair[0])] = value
    }
    self = options
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
