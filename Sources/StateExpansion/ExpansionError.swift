import ErrorReporting

/// Why a state expansion cannot be done as asked.
///
/// Field names are those of a recipe's `expansion:` section.
public enum ExpansionError: UserFacingError, Sendable, Equatable {
  /// `expansion.layers` does not name layers of this model.
  case layers(problem: String)
  /// `expansion.heads` or `expansion.state_factor` does not fit a layer.
  case size(field: String, value: Int, problem: String)
  /// `expansion.init` is not available for this model.
  case initialization(ExpansionInitialization, problem: String)
  /// Layers cannot be made equal, which `statex convert --uniform` asks for.
  case uniform(problem: String)

  /// The exit code of the error's class: 64, bad usage or recipe.
  public var exitCode: Int32 { 64 }

  /// The error on one line.
  public var description: String {
    switch self {
    case .layers(let problem): "expansion.layers: \(problem)"
    case .size(let field, let value, let problem): "expansion.\(field) is \(value): \(problem)"
    case .initialization(let initialization, let problem):
      "expansion.init is \(initialization.rawValue): \(problem)"
    case .uniform(let problem): "--uniform: \(problem)"
    }
  }
}
