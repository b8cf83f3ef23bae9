import Fields
import JSON
import LanguageModels
import Layers

extension ModelConfiguration {
  /// Decodes the fields of a `config.json`, the `statex` key of expanded models included.
  ///
  /// - Parameters:
  ///   - configJSON: the whole object. Fields that do not change the model's mathematics are ignored.
  ///   - source: the file's path, or for example `recipe model.config`, for messages.
  /// - Throws: `InteropError.field` for the first field that is wrong or not supported.
  public init(
    configJSON: JSONValue, source: String = "config.json"
  ) throws(InteropError) {
    try self.init(fields: FieldValue(json: configJSON, place: .source(source)))
  }

  /// Decodes the same fields where they were not read from a file of their own.
  ///
  /// - Parameters:
  ///   - fields: a mapping.
  ///   - path: its dotted path, for example `model.config` in a recipe.
  /// - Throws: `InteropError.field` for the first field that is wrong or not supported.
  public init(fields: FieldValue, path: String = "") throws(InteropError) {
    self = try InteropError.reading { () throws(FieldError) in
      try ModelConfiguration(FieldReader(fields, path: path, keys: nil))
    }
  }

  private init(_ reader: ConfigReader) throws(FieldError) {
    let dialect = try ModelDialects.find(reader)
    try reader.refuse(
      "quantization_config", because: "quantized checkpoints are not supported; use the original")
    self = try dialect.decodeBase(reader)
    try readExpandedLayers(reader, dialect: dialect)
    guard isCountable else {
      throw FieldError(
        place: reader.place, path: reader.path,
        .invalid("these sizes make a model of more than \(Self.mostParameters) parameters"))
    }
  }

  /// What a user should know about a `config.json` that decodes: fields that nothing reads, a line each.
  public static func warnings(configJSON: JSONValue, source: String) -> [String] {
    guard case .object(let fields) = configJSON,
      let dialect = try? ModelDialects.find(
        ConfigReader(FieldValue(json: configJSON, place: .source(source)), keys: nil))
    else { return [] }
    return ConfigWarnings.lines(fields, dialect: dialect, source: source)
  }

  /// Replaces the layers that `statex.layers` lists.
  private mutating func readExpandedLayers(
    _ reader: ConfigReader, dialect: any ModelDialect
  ) throws(FieldError) {
    guard let statex = try reader.optionalMapping("statex") else {
      guard reader.value("model_type") != FieldValue.text(family.expandedModelType) else {
        throw reader.refusal(
          "statex",
          "model_type \(family.expandedModelType) means that layers differ; expected which")
      }
      return
    }
    try statex.refuse(except: ["layers"])
    guard let entries = try statex.optionalMapping("layers") else { return }
    for member in entries.entries {
      guard let index = Int(member.key), String(index) == member.key, layers.indices ~= index
      else {
        throw entries.invalid(
          member.key, "not a layer of this model (0 to \(layers.count - 1))")
      }
      layers[index] = try dialect.decodeLayer(entries.mapping(member.key), base: base)
    }
  }
}

extension ScratchInitialization {
  /// How a model from scratch with these `config.json` fields is drawn: `initializer_range` (0.02
  /// when absent) is the standard deviation of embeddings and linear weights alike.
  public init(configJSON: JSONValue, source: String = "config.json") throws(InteropError) {
    let deviation = try InteropError.reading { () throws(FieldError) in
      let fields = FieldValue(json: configJSON, place: .source(source))
      return try ConfigReader(fields, keys: nil).number(
        "initializer_range", default: 0.02, .over(0, atMost: 10))
    }
    self.init(embeddingDeviation: deviation, linearDeviation: deviation)
  }
}
