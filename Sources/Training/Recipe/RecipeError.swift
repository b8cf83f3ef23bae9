import ErrorReporting

/// What can be wrong with a recipe: one line for the user each, exit class 64.
public enum RecipeError: UserFacingError, Sendable, Equatable {
  /// The file cannot be read as text.
  case unreadable(file: String, reason: String)
  /// The text is not YAML, or uses a part of YAML that recipes do without.
  case syntax(place: RecipePlace, reason: String)
  /// A key that nothing reads; `suggestion` is the nearest key that exists here.
  case unknownKey(place: RecipePlace, path: String, suggestion: String?)
  /// A key without which the recipe says too little.
  case missingKey(place: RecipePlace, path: String)
  /// A value of the wrong kind.
  case wrongType(place: RecipePlace, path: String, expected: String, found: String)
  /// A value of the right kind that is not allowed, by itself or beside another one.
  case invalidValue(place: RecipePlace, path: String, reason: String)
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
    case .unknownKey(let place, let path, let suggestion):
      let hint = suggestion.map { "; did you mean `\($0)`?" } ?? ""
      return "\(place): unknown key `\(path)`\(hint)"
    case .missingKey(let place, let path):
      return "\(place): the required key `\(path)` is missing"
    case .wrongType(let place, let path, let expected, let found):
      return "\(place): `\(path)`: expected \(expected), found \(found)"
    case .invalidValue(let place, let path, let reason):
      return "\(place): `\(path)`: \(reason)"
    case .badOverride(let text, let reason):
      return "override `\(text)`: \(reason)"
    }
  }
}

/// Where a value was written, for error messages.
public enum RecipePlace: Sendable, Hashable, CustomStringConvertible {
  /// A line of a recipe file, counted from 1.
  case line(file: String, Int)
  /// An override on the command line, as written.
  case override(String)
  /// Made by the program, not written by anyone.
  case program

  /// `file:line`, or the override.
  public var description: String {
    switch self {
    case .line(let file, let line): "\(file):\(line)"
    case .override(let text): "override `\(text)`"
    case .program: "recipe"
    }
  }
}
