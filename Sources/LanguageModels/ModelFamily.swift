import ErrorReporting
import Synchronization

/// What a family of models is called, in `config.json` and in its checkpoints.
///
/// A family is one value of a conforming type in `ModelFamilies.all`. Rooms above ask the same value for what
/// they need of a family: `StateExpansion` for `ExpandableFamily`, `HuggingFaceInterop` for
/// `HuggingFaceFamily`. Its blocks are `BlockConfiguration`s.
public protocol FamilyDefinition: Sendable {
  /// `model_type` in `config.json`, which no other family has.
  var name: String { get }
  /// The name in messages, for example `GLA`.
  var title: String { get }
  /// The name in the heading of a model card.
  var fullName: String { get }
  /// Prefix of all checkpoint keys but the head's, for example `model.`.
  var trunk: String { get }
  /// Key of the final norm behind the trunk.
  var finalNormKey: String { get }
}

extension FamilyDefinition {
  /// The title.
  public var fullName: String { title }
}

/// Gated linear attention, as fla has it.
public struct GLAFamily: FamilyDefinition {
  /// `model_type`.
  public let name = "gla"
  /// The name in messages.
  public let title = "GLA"
  /// The name in a heading.
  public let fullName = "Gated linear attention"
  /// Prefix of keys.
  public let trunk = "model."
  /// Key of the final norm.
  public let finalNormKey = "norm.weight"
}

/// Mamba2, as transformers has it.
public struct Mamba2Family: FamilyDefinition {
  /// `model_type`.
  public let name = "mamba2"
  /// The name in messages.
  public let title = "Mamba2"
  /// Prefix of keys.
  public let trunk = "backbone."
  /// Key of the final norm.
  public let finalNormKey = "norm_f.weight"
}

/// The families that can be trained, read and written.
public enum ModelFamilies {
  private static let registered = Mutex<[ModelFamily]>([.gla, .mamba2])

  /// All of them, in the order in which a `config.json` is offered to them.
  public static var all: [ModelFamily] { registered.withLock { $0 } }

  /// Adds a family; done before anything is read.
  ///
  /// - Precondition: no family has its name.
  public static func register(_ definition: any FamilyDefinition) {
    registered.withLock { families in
      let family = ModelFamily(definition)
      require(!families.contains(family), "the family \(family.name) is there already")
      families.append(family)
    }
  }
}

/// One of the model families.
public struct ModelFamily: Sendable, Equatable, Encodable {
  /// What it is.
  public let definition: any FamilyDefinition

  /// Wraps a definition.
  public init(_ definition: any FamilyDefinition) { self.definition = definition }

  /// Gated linear attention.
  public static let gla = ModelFamily(GLAFamily())
  /// Mamba2.
  public static let mamba2 = ModelFamily(Mamba2Family())

  /// Families are known by their names.
  public static func == (a: ModelFamily, b: ModelFamily) -> Bool { a.name == b.name }

  /// Encodes the name.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(name)
  }

  /// `model_type` in `config.json`.
  public var name: String { definition.name }
  /// Checkpoint key of the embeddings.
  public var embeddingsKey: String { definition.trunk + "embeddings.weight" }
  /// Key of the final norm.
  public var finalNormKey: String { definition.trunk + definition.finalNormKey }
  /// Key of the output head (absent when tied to the embeddings).
  public var headKey: String { "lm_head.weight" }
  /// Prefix of a block's keys.
  public func layerPrefix(_ index: Int) -> String { definition.trunk + "layers.\(index)." }
}
