import Files

/// What can go wrong with token files, tokenizers and text.
public enum TokenDataError: FileErrorConvertible, Equatable, Sendable {
  /// A file could not be read or written, or is not of its format.
  case file(FileError)

  /// The contents of `path` are damaged or not of the expected kind at `field`.
  case invalid(path: String, field: String, reason: String)

  /// `component` of a tokenizer file is one that this program does not implement; `supported` are the
  /// ones of its kind that it does.
  case unsupported(path: String, component: String, supported: [String] = [])

  /// Work was given up because somebody asked for it.
  case interrupted

  /// The mixture of sources in a recipe cannot be used.
  case badMixture(reason: String)

  /// One line: what, where, why.
  public var description: String {
    switch self {
    case .file(let error): error.description
    case .invalid(let path, let field, let reason): "\(path): \(field): \(reason)"
    case .unsupported(let path, let component, let supported):
      "\(path): \(component) is not supported"
        + (supported.isEmpty ? "" : "; supported: \(supported.joined(separator: ", "))")
    case .interrupted: "stopped before all text was tokenized; start again to continue"
    case .badMixture(let reason): "data.sources: \(reason)"
    }
  }

  /// The exit code of a command that ends with this error: 74 I/O, 65 bad data, 64 bad recipe.
  public var exitCode: Int32 {
    switch self {
    case .file(let error): error.exitCode
    case .invalid, .unsupported: 65
    case .badMixture: 64
    case .interrupted: 75
    }
  }
}
