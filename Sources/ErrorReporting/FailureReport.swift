import Foundation

/// How a process that fails leaves: its exit code, and the one line that tells a user why.
public struct FailureReport: Sendable, Equatable {
  /// The process's exit code.
  public let exitCode: Int32
  /// What is wrong, without `error: `.
  public let line: String

  /// What to say about any error.
  ///
  /// Errors that are not for users are internal (70).
  public init(_ error: any Error) {
    if let error = error as? any UserFacingError {
      self.init(exitCode: error.exitCode, line: error.description)
    } else {
      self.init(exitCode: 70, line: "internal error: \(error)")
    }
  }

  /// A report whose text is put on one line.
  public init(exitCode: Int32, line: String) {
    self.exitCode = exitCode
    self.line = line.split(whereSeparator: \.isNewline)
      .map { $0.trimmingCharacters(in: .whitespaces) }.joined(separator: " ")
  }
}
