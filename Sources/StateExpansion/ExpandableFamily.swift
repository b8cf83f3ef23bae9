import ErrorReporting
import LanguageModels
import Layers
import TensorStorage

/// The option that says how large the state of a family's layers becomes.
///
/// Its value is a number from 1.
public struct ExpansionSizeOption: Sendable, Hashable {
  /// Its name in the section `expansion` of a recipe, for example `heads`.
  public let name: String
  /// Its value when it is left out.
  public let defaultValue: Int
  /// What it means, in half a sentence.
  public let meaning: String
  /// What bounds it, for a table, for example `divides the layer's heads`.
  public let limit: String

  /// Names the option.
  public init(
    _ name: String, default defaultValue: Int, _ meaning: String, limit: String
  ) {
    (self.name, self.defaultValue) = (name, defaultValue)
    (self.meaning, self.limit) = (meaning, limit)
  }

  /// The options of all families, each once, with the families that have it.
  ///
  /// - Precondition: two families with an option of one name mean the same by it.
  public static var all: [(option: ExpansionSizeOption, families: [ModelFamily])] {
    var all: [(option: ExpansionSizeOption, families: [ModelFamily])] = []
    for family in ModelFamilies.all {
      guard let option = family.expansionSizeOption else { continue }
      if let index = all.firstIndex(where: { $0.option.name == option.name }) {
        require(all[index].option == option, "two options with the name \(option.name)")
        all[index].families.append(family)
      } else {
        all.append((option, [family]))
      }
    }
    return all
  }
}

/// A family whose state can be expanded.
public protocol ExpandableFamily: FamilyDefinition {
  /// How large the state becomes.
  var sizeOption: ExpansionSizeOption { get }

  /// The expansion of a layer of this family.
  ///
  /// - Parameters:
  ///   - layer: the layer before.
  ///   - index: its number, for messages.
  ///   - plan: the plan; its size has this family's option.
  /// - Returns: the layer after, and how its tensors are filled.
  /// - Throws: `ExpansionError` when the plan does not fit the layer.
  func expansion(
    of layer: LayerConfiguration, index: Int, plan: ExpansionPlan
  ) throws(ExpansionError) -> any LayerExpansion

  /// What to know before using a model that was expanded this way.
  func warnings(_ plan: ExpansionPlan) -> [String]

  /// Expansions that give all layers one shape without changing what they compute.
  ///
  /// - Returns: one for each layer; nil when the layers are to stay as they are.
  /// - Throws: `ExpansionError.uniform` when the layers differ in a way that cannot be padded.
  func padding(_ layers: [LayerConfiguration]) throws(ExpansionError) -> [any LayerExpansion]?
}

extension ExpandableFamily {
  /// Nothing to warn of.
  public func warnings(_ plan: ExpansionPlan) -> [String] { [] }

  /// Nothing is padded.
  public func padding(
    _ layers: [LayerConfiguration]
  ) throws(ExpansionError) -> [any LayerExpansion]? { nil }
}

/// The expansion of one layer.
public protocol LayerExpansion {
  /// The layer after.
  var expandedLayer: LayerConfiguration { get }

  /// Writes the tensors of the layer that are not plain copies.
  ///
  /// - Parameters:
  ///   - arena: the expanded model's parameters.
  ///   - parameters: the present model's.
  ///   - prefix: of the layer's keys.
  /// - Returns: the names of the tensors written.
  func fill(
    _ arena: ParameterArena, from parameters: ParameterArena, prefix: String
  ) -> [String]
}

extension ModelFamily {
  /// What is known of expanding the family's layers.
  ///
  /// - Throws: `.layers` when they cannot be expanded.
  public var expandable: any ExpandableFamily {
    get throws(ExpansionError) {
      guard let family = definition as? any ExpandableFamily else {
        throw .layers(problem: "layers of the family \(name) cannot be expanded")
      }
      return family
    }
  }

  /// The option that sizes this family's expansion; nil when there is none.
  public var expansionSizeOption: ExpansionSizeOption? {
    (definition as? any ExpandableFamily)?.sizeOption
  }
}
