import LanguageModels

/// Whose own code opens an export.
public enum ExportFormat: String, Sendable, CaseIterable {
  /// `transformers`: Mamba2.
  case transformers
  /// `flash-linear-attention`: GLA and Mamba2.
  case fla
  /// The official `mamba_ssm`: Mamba2.
  case mambaSSM = "mamba_ssm"
}

extension ModelDialects {
  /// The dialect in which a model is exported.
  ///
  /// - Parameters:
  ///   - configuration: the model.
  ///   - format: whose own code must open it; nil for the family's usual dialect and any model.
  ///   - path: where, for the error.
  /// - Returns: a dialect that can describe the model, as far as formats decide it.
  /// - Throws: `.refused` when that program has no such model.
  static func forExport(
    of configuration: ModelConfiguration, format: ExportFormat?, path: String
  ) throws(InteropError) -> any ModelDialect {
    let family = configuration.family
    guard let known = family.huggingFace else {
      throw .refused(path: path, problem: "models of the family \(family.name) cannot be written")
    }
    guard let format else { return known.exportDialect }
    guard let dialect = known.exportDialect(for: format) else {
      let others = ExportFormat.allCases.filter { known.exportDialect(for: $0) != nil }
      throw .refused(
        path: path,
        problem: "\(format.rawValue) has no \(family.name) models; for these: "
          + others.map(\.rawValue).joined(separator: ", "))
    }
    guard configuration.expandedLayers.isEmpty else {
      let layers = configuration.expandedLayers.map(String.init).joined(separator: ", ")
      throw .refused(
        path: path,
        problem:
          "\(format.rawValue) knows one shape for all layers, and layers \(layers) differ from"
          + " the others; statex convert --uniform makes those of Mamba2 equal")
    }
    if let problem = dialect.refusal(of: configuration) {
      throw .refused(path: path, problem: problem)
    }
    return dialect
  }
}
