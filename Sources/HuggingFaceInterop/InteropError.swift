import Fields
import Files

/// What can be wrong with a Hugging Face model directory.
///
/// `description` is one line that names the file, the field or tensor, and what to do.
public enum InteropError: FileErrorConvertible, FieldErrorConvertible, Sendable, Equatable {
  /// A field of `config.json` (or of a recipe's `model.config`) has a value that cannot be used.
  case field(FieldError)
  /// A file that is missing or is not what its name says.
  case malformed(file: String, problem: String)
  /// Tensors that do not fit the configuration.
  case tensors(file: String, problem: String)
  /// A model that an export cannot describe, or a place it must not write to.
  case refused(path: String, problem: String)
  /// An export was given up because somebody asked for that.
  case interrupted(path: String)
  /// A file could not be read or written, or is not of its format.
  case file(FileError)

  /// The exit code of the error's class: 64 bad usage, 65 bad input data, 74 input or output failed, 75
  /// interrupted.
  public var exitCode: Int32 {
    switch self {
    case .field, .malformed, .tensors: 65
    case .refused: 64
    case .interrupted: 75
    case .file(let error): error.exitCode
    }
  }

  /// The error on one line.
  public var description: String {
    switch self {
    case .field(let error): error.description
    case .malformed(let file, let problem), .tensors(let file, let problem):
      "\(file): \(problem)"
    case .refused(let path, let problem):
      "\(path): \(problem)"
    case .interrupted(let path): "\(path): the export was interrupted"
    case .file(let error): error.description
    }
  }

  /// The error with one more fact about tensors that do not fit.
  func noting(_ fact: String) -> InteropError {
    guard case .tensors(let file, let problem) = self else { return self }
    return .tensors(file: file, problem: problem + "; " + fact)
  }
}
