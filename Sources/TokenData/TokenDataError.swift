import ErrorReporting
import Foundation
import TensorFiles

/// What can go wrong with token files, tokenizers and text.
public enum TokenDataError: UserFacingError, Equatable, Sendable {
  /// The operating system refused: `operation` (for example `"write"`) on `path` gave `code`.
  case io(path: String, operation: String, code: Int32)

  /// The contents of `path` are damaged or not of the expected kind at `field`.
  case invalid(path: String, field: String, reason: String)

  /// `component` of a tokenizer file is one that this program does not implement.
  case unsupported(path: String, component: String)

  /// The mixture of sources in a recipe cannot be used.
  case badMixture(reason: String)

  /// One line: what, where, why.
  public var description: String {
    switch self {
    case .io(let path, let operation, let code):
      "cannot \(operation) \(path): \(String(cString: strerror(code)))"
    case .invalid(let path, let field, let reason): "\(path): \(field): \(reason)"
    case .unsupported(let path, let component): "\(path): \(component) is not supported"
    case .badMixture(let reason): "data.sources: \(reason)"
    }
  }

  /// The exit code of a command that ends with this error: 74 I/O, 65 bad data, 64 bad recipe.
  public var exitCode: Int32 {
    switch self {
    case .io: 74
    case .invalid, .unsupported: 65
    case .badMixture: 64
    }
  }

  init(_ error: TensorFileError) {
    switch error {
    case .io(let path, let operation, let code):
      self = .io(path: path, operation: operation, code: code)
    case .invalid(let path, let field, let reason):
      self = .invalid(path: path, field: field, reason: reason)
    }
  }
}

/// Maps a file, with this room's errors.
func mapFile(_ path: String) throws(TokenDataError) -> MappedFile {
  do {
    return try MappedFile(path: path)
  } catch {
    throw TokenDataError(error)
  }
}
