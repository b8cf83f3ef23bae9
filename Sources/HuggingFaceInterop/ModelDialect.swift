import Fields
import JSON
import LanguageModels

/// One way in which checkpoints of a family spell their configuration and their tensors.
///
/// A family may have several: Mamba2 weights, for example, come in three spellings. Adding one means
/// writing a conforming type and listing it in the family's `dialects`; reading, checking and writing of
/// files stay the same.
public protocol ModelDialect: Sendable {
  /// Names this dialect in messages, for example `fla GLA`.
  var name: String { get }

  /// The value of `architectures` in an export whose layers are all equal; nil when its files name
  /// neither that nor a `model_type`.
  var architecture: String? { get }

  /// A field of an export whose layers differ that makes the family's own code refuse it even when
  /// called by its class's name, for which `model_type` is no more than a warning; nil where the
  /// shapes of tensors do that.
  var expandedMark: JSONMember? { get }

  /// The fields of this dialect's own that may stand in a `config.json`, those without meaning here
  /// included.
  var knownFields: [String] { get }

  /// What a user should know of fields that have no effect, a line each.
  func remarks(on config: [JSONMember]) -> [String]

  /// Whether this `config.json` is written in this dialect.
  func claims(_ config: [JSONMember]) -> Bool

  /// The configuration of the base model: `statex.layers` is not looked at.
  func decodeBase(_ reader: ConfigReader) throws(FieldError) -> ModelConfiguration

  /// One entry of `statex.layers`: how a layer differs from the base.
  func decodeLayer(
    _ reader: ConfigReader, base: LayerConfiguration
  ) throws(FieldError) -> LayerConfiguration

  /// The fields of an original `config.json`, in any dialect of the family, that an export in this
  /// dialect keeps: those that only another dialect understands are left out.
  func keptFields(_ config: [JSONMember]) -> [JSONMember]

  /// The family's fields for a configuration, describing the base layer.
  func encodeBase(_ configuration: ModelConfiguration) -> [JSONMember]

  /// The entry of `statex.layers` for a layer; nil when the two differ in more than that can say.
  func encodeLayer(_ layer: LayerConfiguration, base: LayerConfiguration) -> [JSONMember]?

  /// The arena's key of a tensor, given its name in a checkpoint of this dialect.
  func parameterName(_ checkpointName: String, in configuration: ModelConfiguration) -> String

  /// The name in an export of this dialect, given the arena's key.
  func checkpointName(_ parameter: String) -> String

  /// What an export's weights are stored as.
  var weightFormat: WeightFormat { get }

  /// Whether an export stores a head that is tied to the embeddings.
  var storesTiedHead: Bool { get }

  /// Why a model whose layers are equal cannot be written in this dialect; nil when it can.
  func refusal(of configuration: ModelConfiguration) -> String?

  /// The parameters that some checkpoints hold as one tensor, stacked along the rows and named after
  /// the first, if `parameter` is one of them.
  func fusedParameters(with parameter: String) -> [String]?
}

extension ModelDialect {
  /// Its tensors' shapes tell.
  public var expandedMark: JSONMember? { nil }
  /// All of them.
  public func keptFields(_ config: [JSONMember]) -> [JSONMember] { config }
  /// Tensors are named as in the arena.
  public func parameterName(
    _ checkpointName: String, in configuration: ModelConfiguration
  ) -> String { checkpointName }
  /// Nothing to say.
  public func remarks(on config: [JSONMember]) -> [String] { [] }
  /// Tensors are named as in the arena.
  public func checkpointName(_ parameter: String) -> String { parameter }
  /// Files that hold nothing but tensors.
  public var weightFormat: WeightFormat { .safetensors }
  /// A tied head is left out.
  public var storesTiedHead: Bool { false }
  /// Every model can be written.
  public func refusal(of configuration: ModelConfiguration) -> String? { nil }
  /// No tensor holds several parameters.
  public func fusedParameters(with parameter: String) -> [String]? { nil }
}

extension ModelFamily {
  /// `model_type` of a model whose layers differ: the family's own code, which knows one shape for all
  /// of them, must not take it for its own.
  var expandedModelType: String { "statex_" + name }

  /// Whether a `config.json` is of this family, its layers equal or not.
  public func isNamed(by config: [JSONMember]) -> Bool {
    [name, expandedModelType].contains(config["model_type"]?.string)
  }
}

/// The dialects that can be read and written.
enum ModelDialects {
  static var all: [any ModelDialect] {
    ModelFamilies.all.flatMap { $0.huggingFace?.dialects ?? [] }
  }

  /// The dialect in which a configuration is written.
  static func find(_ reader: ConfigReader) throws(FieldError) -> any ModelDialect {
    let members = reader.members
    for dialect in all where dialect.claims(members) { return dialect }
    let known = all.map(\.name).joined(separator: ", ")
    throw reader.refusal("model_type", "not a supported family; supported: \(known)")
  }
}
