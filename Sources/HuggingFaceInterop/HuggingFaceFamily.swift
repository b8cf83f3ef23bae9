import LanguageModels

/// A family whose models can be read and written.
public protocol HuggingFaceFamily: FamilyDefinition {
  /// The ways in which its checkpoints are spelt, in the order in which a `config.json` is offered to them.
  var dialects: [any ModelDialect] { get }
  /// The one in which models are exported, whatever they were read from.
  var exportDialect: any ModelDialect { get }
  /// The Python package that makes the family known to transformers; nil when transformers has it.
  var pythonPackage: String? { get }
  /// Python code that opens an export whose layers differ; nil for none.
  var pythonCode: PythonCode? { get }

  /// The dialect that a program's own code opens; nil when it has no such models.
  func exportDialect(for format: ExportFormat) -> (any ModelDialect)?
}

extension HuggingFaceFamily {
  /// None.
  public var pythonPackage: String? { nil }
  /// None.
  public var pythonCode: PythonCode? { nil }
  /// No program has them.
  public func exportDialect(for format: ExportFormat) -> (any ModelDialect)? { nil }
}

extension ModelFamily {
  /// What is known of the family's checkpoints; nil when its models can be neither read nor written.
  var huggingFace: (any HuggingFaceFamily)? { definition as? any HuggingFaceFamily }
}

// MARK: The families

extension GLAFamily: HuggingFaceFamily {
  /// fla's.
  public var dialects: [any ModelDialect] { [GLADialect()] }
  /// fla's.
  public var exportDialect: any ModelDialect { GLADialect() }
  /// fla.
  public var pythonPackage: String? { "fla" }
  /// The classes of a GLA model whose layers differ.
  public var pythonCode: PythonCode? {
    PythonCode(
      stem: "StatexGLA",
      files: [
        ("modeling_statex.py", PackageResources.modeling_statex_py),
        ("configuration_statex_gla.py", PackageResources.configuration_statex_gla_py),
        ("modeling_statex_gla.py", PackageResources.modeling_statex_gla_py),
      ])
  }

  /// Only fla has GLA.
  public func exportDialect(for format: ExportFormat) -> (any ModelDialect)? {
    format == .fla ? GLADialect() : nil
  }
}

extension Mamba2Family: HuggingFaceFamily {
  /// mamba_ssm's own, and that of transformers and fla.
  public var dialects: [any ModelDialect] { [MambaSSMDialect(), Mamba2Dialect()] }
  /// That of transformers and fla.
  public var exportDialect: any ModelDialect { Mamba2Dialect() }
  /// The classes of a Mamba2 model whose layers differ.
  public var pythonCode: PythonCode? {
    PythonCode(
      stem: "StatexMamba2",
      files: [
        ("modeling_statex.py", PackageResources.modeling_statex_py),
        ("configuration_statex_mamba2.py", PackageResources.configuration_statex_mamba2_py),
        ("modeling_statex_mamba2.py", PackageResources.modeling_statex_mamba2_py),
      ])
  }

  /// All programs have Mamba2.
  public func exportDialect(for format: ExportFormat) -> (any ModelDialect)? {
    switch format {
    case .transformers, .fla: Mamba2Dialect()
    case .mambaSSM: MambaSSMDialect()
    }
  }
}
