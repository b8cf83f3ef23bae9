import LanguageModels
import TensorFiles

/// Builds the `config.json` of an export.
struct ConfigEncoder {
  private let configuration: ModelConfiguration
  private let raw: [JSONMember]
  private let dtype: ExportPrecision
  private let path: String
  private let dialect: any ModelDialect

  /// Takes the `config.json` whose other fields are kept, if there is one, as `raw`.
  init(
    _ configuration: ModelConfiguration, raw: JSONValue?, dtype: ExportPrecision, path: String
  ) throws(InteropError) {
    self.configuration = configuration
    self.dtype = dtype
    self.path = path
    dialect = ModelDialects.forExport(of: configuration.family)
    switch raw {
    case nil: self.raw = []
    case .object(let members)?: self.raw = members
    default: throw .malformed(file: path, problem: "the original config.json is not an object")
    }
  }

  /// The whole object.
  ///
  /// - Throws: `.refused` when it cannot describe the model.
  func encoded() throws(InteropError) -> JSONValue {
    var fields = try baseFields()
    fields["statex"] = try expandedLayers()
    fields["architectures"] = .array([.string(dialect.architecture)])
    let typeFields = ["dtype", "torch_dtype"].filter { raw[$0] != nil }
    for field in typeFields.isEmpty ? ["torch_dtype"] : typeFields {
      fields[field] = .string(dtype.torchName)
    }
    try check(.object(fields), describes: configuration)
    return .object(fields)
  }

  /// The original's fields with absent ones filled in, if that describes the base, so that `0.5`
  /// or a null default stays as it was written; else with all of the family's fields set anew.
  private func baseFields() throws(InteropError) -> [JSONMember] {
    var base = configuration
    base.layers = Array(repeating: configuration.base, count: configuration.layers.count)
    var kept = dialect.keptFields(raw)
    kept["statex"] = nil
    var rewritten = kept
    for field in dialect.encodeBase(configuration) {
      if kept[field.name] == nil { kept[field.name] = field.value }
      rewritten[field.name] = field.value
    }
    if (try? ModelConfiguration(configJSON: .object(kept))) == base { return kept }
    try check(.object(rewritten), describes: base)
    return rewritten
  }

  private func expandedLayers() throws(InteropError) -> JSONValue? {
    var entries: [JSONMember] = []
    for (index, layer) in configuration.layers.enumerated() where layer != configuration.base {
      guard let entry = dialect.encodeLayer(layer, base: configuration.base) else {
        throw .refused(
          path: path,
          problem: "layer \(index) differs from the base in more than config.json can say")
      }
      entries.append(JSONMember("\(index)", .object(entry)))
    }
    return entries.isEmpty ? nil : .object([JSONMember("layers", .object(entries))])
  }

  /// Refuses to write a file that an import would read as another model.
  private func check(
    _ json: JSONValue, describes expected: ModelConfiguration
  ) throws(InteropError) {
    guard try ModelConfiguration(configJSON: json, source: path) == expected else {
      throw .refused(path: path, problem: "config.json cannot describe this model exactly")
    }
  }
}
