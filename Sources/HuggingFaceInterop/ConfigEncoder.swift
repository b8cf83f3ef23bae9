import JSON
import LanguageModels

/// Builds the `config.json` of an export.
struct ConfigEncoder {
  /// The model, with what all its layers are as the base where they are equal.
  let configuration: ModelConfiguration
  private let raw: [JSONMember]
  private let dtype: ElementTypes
  private let path: String
  /// The dialect in which the export is written.
  let dialect: any ModelDialect

  /// Takes the `config.json` whose other fields are kept, if there is one, as `raw`; `format` is whose
  /// own code must open the export, nil for nobody's.
  init(
    _ configuration: ModelConfiguration, raw: JSONValue?, dtype: ElementTypes, path: String,
    format: ExportFormat? = nil
  ) throws(InteropError) {
    self.configuration = try Self.plain(configuration, path: path)
    dialect = try ModelDialects.forExport(of: self.configuration, format: format, path: path)
    self.dtype = dtype
    self.path = path
    switch raw {
    case nil: self.raw = []
    case .object(let members)?: self.raw = members
    default: throw .malformed(file: path, problem: "the original config.json is not an object")
    }
  }

  /// The model with what all its layers are as the base, if they are equal and the family's own fields
  /// can say what they are; else the model as it is.
  private static func plain(
    _ configuration: ModelConfiguration, path: String
  ) throws(InteropError) -> ModelConfiguration {
    guard let first = configuration.layers.first,
      configuration.layers.allSatisfy({ $0 == first })
    else { return configuration }
    var plain = configuration
    plain.base = first
    let dialect = try ModelDialects.forExport(of: plain, format: nil, path: path)
    let fields = JSONValue.object(dialect.encodeBase(plain))
    return (try? ModelConfiguration(configJSON: fields)) == plain ? plain : configuration
  }

  /// What the file says of the model to other programs.
  var summary: ExportSummary {
    let expanded = configuration.expandedLayers
    let family = configuration.family
    let modelType = expanded.isEmpty ? family.name : family.expandedModelType
    return ExportSummary(
      modelType: dialect.architecture == nil ? nil : modelType, expandedLayers: expanded)
  }

  /// Whether code that the original names in `auto_map` is for this model as well: it is of the same
  /// type.
  ///
  /// A model whose layers differ has our code.
  var keepsCode: Bool {
    summary.expandedLayers.isEmpty && raw["auto_map"] != nil && summary.modelType != nil
      && raw["model_type"]?.string == summary.modelType
  }

  /// The Python code that opens the export; nil where the family's own does.
  var code: PythonCode? {
    summary.expandedLayers.isEmpty ? nil : configuration.family.huggingFace?.pythonCode
  }

  /// The whole object.
  ///
  /// - Throws: `.refused` when it cannot describe the model.
  func encoded() throws(InteropError) -> JSONValue {
    var fields = try baseFields()
    fields["statex"] = try expandedLayers()
    if let architecture = dialect.architecture, let modelType = summary.modelType {
      name(&fields, architecture: architecture, modelType: modelType)
      let typeFields = ["dtype", "torch_dtype"].filter { raw[$0] != nil }
      for field in typeFields.isEmpty ? ["torch_dtype"] : typeFields {
        fields[field] = .string(dtype.prevailing.torchName)
      }
    }
    if !keepsCode { fields["auto_map"] = code?.autoMap(configuration.family) }
    try check(.object(fields), describes: configuration)
    return .object(fields)
  }

  /// Says whose model this is: the family's own, or one that only code for expanded layers may open.
  private func name(_ fields: inout [JSONMember], architecture: String, modelType: String) {
    fields["model_type"] = .string(modelType)
    fields["architectures"] = .array([.string(code?.modelClass ?? architecture)])
    guard let mark = dialect.expandedMark else { return }
    if !summary.expandedLayers.isEmpty {
      fields[mark.name] = mark.value
    } else if fields[mark.name] == mark.value {
      fields[mark.name] = nil
    }
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
    if dialect.architecture != nil {
      kept["model_type"] = .string(configuration.family.name)
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
