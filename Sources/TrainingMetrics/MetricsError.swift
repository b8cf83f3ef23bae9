import ErrorReporting

/// What can go wrong with the files of a run's metrics.
public enum MetricsError: UserFacingError, Sendable, Equatable {
  /// The operating system refused; exit class 74.
  case io(path: String, operation: String, reason: String)
  /// A line that no version of this log wrote; exit class 65.
  case malformed(path: String, line: Int)

  /// The process exit code of this class of error.
  public var exitCode: Int32 {
    switch self {
    case .io: 74
    case .malformed: 65
    }
  }

  /// One line: which file, what failed and what to do.
  public var description: String {
    switch self {
    case .io(let path, let operation, let reason):
      "\(path): cannot \(operation): \(reason)"
    case .malformed(let path, let line):
      "\(path):\(line): not a row of a metrics log; move the file away to start a new one"
    }
  }
}
