import ErrorReporting
import Foundation

/// What is wrong with a command's own arguments, files or surroundings.
public enum CommandError: UserFacingError, Equatable {
  /// Options that do not go together, or a value that cannot be used.
  case usage(String)
  /// A file that is not what the command works on.
  case data(String)
  /// Standard output that cannot be written, with `errno`.
  case output(Int32)

  /// 64, 65 or 74.
  public var exitCode: Int32 {
    switch self {
    case .usage: 64
    case .data: 65
    case .output: 74
    }
  }

  /// The error on one line.
  public var description: String {
    switch self {
    case .usage(let text), .data(let text): text
    case .output(let code): "cannot write to standard output: \(String(cString: strerror(code)))"
    }
  }
}
