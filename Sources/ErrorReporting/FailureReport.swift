/// How a failing process ends: its exit code, and the line that tells the user why.
public struct FailureReport: Sendable, Equatable {
  /// The process's exit code.
  public let exitCode: Int32
  /// What is wrong, without `error: `.
  public let line: String

  /// The report of any error.
  ///
  /// An error that is not a `UserFacingError` counts as internal (70).
  public init(_ error: any Error) {
    if let error = error as? any UserFacingError {
      self.init(exitCode: error.exitCode, line: error.description)
    } else {
      self.init(exitCode: 70, line: "internal error: \(error)")
    }
  }

  /// Makes a report; the text becomes one line (`singleLine`).
  public init(exitCode: Int32, line: String) {
    self.exitCode = exitCode
    self.line = singleLine(line)
  }
}
