import LanguageModels

/// Whose own code opens an export.
public enum ExportFormat: String, Sendable, CaseIterable {
  /// `transformers`: Mamba2.
  case transformers
  /// `flash-linear-attention`: GLA and Mamba2.
  case fla
  /// The official `mamba_ssm`: Mamba2.
  case mambaSSM = "mamba_ssm"

  /// The dialect in which models of a family are written; nil when the program has no such models.
  fileprivate func dialect(of family: ModelFamily) -> (any ModelDialect)? {
    switch (family, self) {
    case (.gla, .fla): GLADialect()
    case (.gla, .transformers), (.gla, .mambaSSM): nil
    case (.mamba2, .transformers), (.mamba2, .fla): Mamba2Dialect()
    case (.mamba2, .mambaSSM): MambaSSMDialect()
    }
  }
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
    guard let format else { return family == .gla ? GLADialect() : Mamba2Dialect() }
    guard let dialect = format.dialect(of: family) else {
      let others = ExportFormat.allCases.filter { $0.dialect(of: family) != nil }
      throw .refused(
        path: path,
        problem: "\(format.rawValue) has no \(family.rawValue) models; for these: "
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
