import ErrorReporting

/// What can be wrong with the inputs of a report.
package enum ReportError: UserFacingError, Equatable {
  /// A file that is not what a report is made of: the path and why; exit class 65.
  case data(String, String)
  /// Arguments that do not go together; exit class 64.
  case usage(String)

  /// What is wrong, without the file.
  var reason: String {
    switch self {
    case .data(_, let reason), .usage(let reason): reason
    }
  }

  /// 65 or 64.
  package var exitCode: Int32 {
    switch self {
    case .data: 65
    case .usage: 64
    }
  }

  /// One line: which file and what is wrong with it.
  package var description: String {
    switch self {
    case .data(let path, let reason): "\(path): \(reason)"
    case .usage(let text): text
    }
  }
}
