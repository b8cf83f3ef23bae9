import ErrorReporting
import Foundation

/// What can go wrong with a file of tensors.
public enum TensorFileError: UserFacingError, Equatable, Sendable {
  /// The operating system refused: `operation` (for example `"open"`) on `path` gave `code`.
  case io(path: String, operation: String, code: Int32)

  /// The contents of `path` break the format's rules at `field`.
  case invalid(path: String, field: String, reason: String)

  /// One line: what, where, why.
  public var description: String {
    switch self {
    case .io(let path, let operation, let code):
      "cannot \(operation) \(path): \(String(cString: strerror(code)))"
    case .invalid(let path, let field, let reason):
      "\(path): \(field): \(reason)"
    }
  }

  /// The exit code of a command that ends with this error: 74 for I/O, 65 for bad data.
  public var exitCode: Int32 {
    switch self {
    case .io: 74
    case .invalid: 65
    }
  }
}
