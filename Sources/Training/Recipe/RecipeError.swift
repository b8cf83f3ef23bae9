import ErrorReporting
import Fields

/// What can be wrong with a recipe: one line for the user each, exit class 64.
public enum RecipeError: FieldErrorConvertible, Sendable, Equatable {
  /// The file cannot be read as text.
  case unreadable(file: String, reason: String)
  /// The text is not YAML, or uses a part of YAML that recipes do without.
  case syntax(place: FieldPlace, reason: String)
  /// A key that nothing reads or that is missing, a value that cannot be used.
  case field(FieldError)
  /// An override that is not `key.path=value`, or whose path leads nowhere.
  case badOverride(text: String, reason: String)

  /// The process exit code of this class of error: bad usage or recipe.
  public var exitCode: Int32 { 64 }
}

extension RecipeError {
  /// One line: where, which key, what is wrong and what to do.
  public var description: String {
    switch self {
    case .unreadable(let file, let reason):
      return "\(file): \(reason)"
    case .syntax(let place, let reason):
      return "\(place): \(reason)"
    case .field(let error):
      return error.description
    case .badOverride(let text, let reason):
      return "override `\(text)`: \(reason)"
    }
  }
}
