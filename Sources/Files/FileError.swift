import ErrorReporting
import Foundation
import SystemPackage

/// What can go wrong with a file.
public enum FileError: UserFacingError, Equatable, Sendable {
  /// The operating system refused: `operation` (for example `"open"`) on `path` gave `code`.
  ///
  /// `missingBytes`: how many bytes did not fit on a full disk, approximately.
  case io(path: String, operation: String, code: Int32, missingBytes: Int? = nil)

  /// The contents of `path` break the rules of their format at `field`.
  case invalid(path: String, field: String, reason: String)

  /// One line: what, where, why.
  public var description: String {
    switch self {
    case .io(let path, let operation, let code, let missing):
      "cannot \(operation) \(path): \(Errno(rawValue: code))"
        + (missing.map { " (up to \($0) bytes missing)" } ?? "")
    case .invalid(let path, let field, let reason):
      "\(path): \(field): \(reason)"
    }
  }

  /// 74 for I/O, 65 for bad data.
  public var exitCode: Int32 {
    switch self {
    case .io: 74
    case .invalid: 65
    }
  }

  /// Whether the same call may succeed a moment later: a stale handle, a failing read, no descriptor left.
  var mayPass: Bool {
    guard case .io(_, _, let code, _) = self else { return false }
    return [EIO, ESTALE, EMFILE, ENFILE].contains(code)
  }

  /// Whether the system reports that there is no such file.
  ///
  /// After any other error (no permission, no descriptor left, a stale handle, a failing disk)
  /// nothing is known about the file: it counts as neither absent nor damaged.
  public var saysAbsent: Bool {
    guard case .io(_, _, let code, _) = self else { return false }
    return [Errno.noSuchFileOrDirectory, .notDirectory].contains(Errno(rawValue: code))
  }
}

/// A room's error that can wrap one about a file.
public protocol FileErrorConvertible: UserFacingError {
  /// The error about a file, unchanged.
  static func file(_ error: FileError) -> Self
}

extension FileErrorConvertible {
  /// The value of `body`, whose file errors become the room's.
  public static func from<Value: ~Copyable>(
    _ body: @autoclosure () throws(FileError) -> Value
  ) throws(Self) -> Value {
    do { return try body() } catch { throw .file(error) }
  }

  /// The same for several statements.
  public static func from<Value: ~Copyable>(
    _ body: () throws(FileError) -> Value
  ) throws(Self) -> Value {
    do { return try body() } catch { throw .file(error) }
  }
}
