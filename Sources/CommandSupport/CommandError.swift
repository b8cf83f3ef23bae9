import ErrorReporting

/// What is wrong with a command's own arguments, files or surroundings.
public enum CommandError: UserFacingError, Equatable {
  /// Options that do not go together, or a value that cannot be used.
  case usage(String)
  /// A file that is not what the command works on.
  case data(String)
  /// The operating system refused.
  case inputOutput(String)

  /// 64, 65 or 74.
  public var exitCode: Int32 {
    switch self {
    case .usage: 64
    case .data: 65
    case .inputOutput: 74
    }
  }

  /// The error on one line.
  public var description: String {
    switch self {
    case .usage(let text), .data(let text), .inputOutput(let text): text
    }
  }
}
