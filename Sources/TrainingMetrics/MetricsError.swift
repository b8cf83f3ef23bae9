import Files

/// What can go wrong with the files of a run's metrics.
public enum MetricsError: FileErrorConvertible, Sendable, Equatable {
  /// A file could not be read or written; exit class 74.
  case file(FileError)
  /// A line that no version of this log wrote; exit class 65.
  case malformed(path: String, line: Int)

  /// The process exit code of this class of error.
  public var exitCode: Int32 {
    switch self {
    case .file(let error): error.exitCode
    case .malformed: 65
    }
  }

  /// One line: which file, what failed and what to do.
  public var description: String {
    switch self {
    case .file(let error): error.description
    case .malformed(let path, let line):
      "\(path):\(line): not a row of a metrics log; move the file away to start a new one"
    }
  }
}
