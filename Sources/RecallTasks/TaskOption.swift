import ErrorReporting

/// The value of a task's option as a recipe gives it.
public enum TaskOption: Sendable, Equatable {
  case int(Int)
  case double(Double)
  case string(String)
  case bool(Bool)
  case list([TaskOption])
}

/// Takes options out of a dictionary and complains about those that are left.
struct TaskOptionReader {
  let task: String
  private var remaining: [String: TaskOption]
  private var known: [String] = []

  init(task: String, options: [String: TaskOption]) {
    self.task = task
    remaining = options
  }

  func invalid(_ option: String, _ reason: String) -> RecallTaskError {
    .invalidOption(task: task, option: option, reason: reason)
  }

  private mutating func take(_ name: String) -> TaskOption? {
    known.append(name)
    return remaining.removeValue(forKey: name)
  }

  mutating func int(_ name: String) throws(RecallTaskError) -> Int? {
    switch take(name) {
    case nil: return nil
    case .int(let value): return value
    default: throw invalid(name, "must be a whole number")
    }
  }

  mutating func double(_ name: String) throws(RecallTaskError) -> Double? {
    switch take(name) {
    case nil: return nil
    case .double(let value): return value
    case .int(let value): return Double(value)
    default: throw invalid(name, "must be a number")
    }
  }

  mutating func bool(_ name: String) throws(RecallTaskError) -> Bool? {
    switch take(name) {
    case nil: return nil
    case .bool(let value): return value
    default: throw invalid(name, "must be true or false")
    }
  }

  /// One whole number or a list of them.
  mutating func ints(_ name: String) throws(RecallTaskError) -> [Int]? {
    switch take(name) {
    case nil: return nil
    case .int(let value): return [value]
    case .list(let elements):
      var values: [Int] = []
      for element in elements {
        guard case .int(let value) = element else {
          throw invalid(name, "must be a whole number or a list of them")
        }
        values.append(value)
      }
      return values
    default: throw invalid(name, "must be a whole number or a list of them")
    }
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ name: String, of type: Choice.Type
  ) throws(RecallTaskError) -> Choice? where Choice.RawValue == String {
    let value = take(name)
    if value == nil { return nil }
    if case .string(let text) = value, let choice = Choice(rawValue: text) { return choice }
    let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
    throw invalid(name, "must be one of \(names)")
  }

  /// Requires that every option was taken.
  func finish() throws(RecallTaskError) {
    guard let option = remaining.keys.sorted().first else { return }
    throw .unknownOption(
      task: task, option: option, nearest: nearestName(to: option, among: known), known: known)
  }
}
