import ErrorReporting

/// What is wrong with a command's own arguments, files or surroundings.
public enum CommandError: UserFacingError, Equatable {
  /// Options that do not go together, or a value that cannot be used.
  case usage(String)
  /// A file that is not what the command works on.
  case data(String)

  /// 64 or 65.
  public var exitCode: Int32 {
    switch self {
    case .usage: 64
    case .data: 65
    }
  }

  /// The error on one line.
  public var description: String {
    switch self {
    case .usage(let text), .data(let text): text
    }
  }
}
