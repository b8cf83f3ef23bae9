import JSON
import LanguageModels
import Layers

extension ModelConfiguration {
  /// Decodes the fields of a `config.json`, the `statex` key of expanded models included.
  ///
  /// - Parameters:
  ///   - configJSON: the whole object. Fields that do not change the model's mathematics are ignored.
  ///   - source: the file's path, or for example `recipe model.config`, for messages.
  /// - Throws: `InteropError.configuration` for the first field that is wrong or not supported.
  public init(
    configJSON: JSONValue, source: String = "config.json"
  ) throws(InteropError) {
    guard case .object(let object) = configJSON else {
      throw .malformed(file: source, problem: "expected an object of fields")
    }
    let reader = ConfigReader(file: source, object: object)
    let dialect = try ModelDialects.find(reader)
    try reader.refuse(
      "quantization_config", because: "quantized checkpoints are not supported; use the original")
    self = try dialect.decodeBase(reader)
    try readExpandedLayers(reader, dialect: dialect)
  }

  /// What a user should know about a `config.json` that decodes: fields that nothing reads, a line each.
  public static func warnings(configJSON: JSONValue, source: String) -> [String] {
    guard case .object(let fields) = configJSON,
      let dialect = try? ModelDialects.find(ConfigReader(file: source, object: fields))
    else { return [] }
    return ConfigWarnings.lines(fields, dialect: dialect, source: source)
  }

  /// Replaces the layers that `statex.layers` lists.
  private mutating func readExpandedLayers(
    _ reader: ConfigReader, dialect: any ModelDialect
  ) throws(InteropError) {
    guard let statex = try reader.optionalObject("statex") else {
      guard reader.object["model_type"]?.string != family.expandedModelType else {
        throw reader.error(
          "statex",
          "model_type \(family.expandedModelType) means that layers differ; expected which")
      }
      return
    }
    try statex.refuseUnknownKeys(known: ["layers"])
    guard let entries = try statex.optionalObject("layers") else { return }
    for member in entries.object {
      guard let index = Int(member.name), String(index) == member.name, layers.indices ~= index
      else {
        throw entries.error(
          member.name, "not a layer of this model (0 to \(layers.count - 1))")
      }
      guard let entry = try entries.optionalObject(member.name) else {
        throw entries.error(member.name, "expected an object")
      }
      layers[index] = try dialect.decodeLayer(entry, base: base)
    }
  }
}

extension ScratchInitialization {
  /// How a model from scratch with these `config.json` fields is drawn: `initializer_range` (0.02
  /// when absent) is the standard deviation of embeddings and linear weights alike.
  public init(configJSON: JSONValue, source: String = "config.json") throws(InteropError) {
    guard case .object(let members) = configJSON else {
      throw .malformed(file: source, problem: "expected an object of fields")
    }
    let reader = ConfigReader(file: source, object: members)
    let deviation = try reader.positiveNumber("initializer_range", default: 0.02, atMost: 10)
    self.init(embeddingDeviation: deviation, linearDeviation: deviation)
  }
}
