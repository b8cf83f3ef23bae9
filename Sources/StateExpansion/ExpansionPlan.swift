import ErrorReporting
import LanguageModels
import Layers
import TensorStorage

/// Which layers of a model are expanded.
public enum LayerSelection: Sendable, Equatable {
  /// These layers, counted from 0.
  case list([Int])
  /// Layers 0, n, 2n, ...
  case every(Int)

  /// The selected layers in ascending order.
  ///
  /// - Parameter layerCount: layers of the model.
  /// - Returns: their numbers, counted from 0.
  /// - Throws: `ExpansionError.layers` when the selection is empty, repeats a layer, or names one
  ///   that the model does not have.
  public func indices(layerCount: Int) throws(ExpansionError) -> [Int] {
    switch self {
    case .every(let step):
      guard step > 0 else { throw .layers(problem: "every: \(step) must be at least 1") }
      return Array(stride(from: 0, to: layerCount, by: step))
    case .list(let list):
      guard !list.isEmpty else { throw .layers(problem: "the list names no layer") }
      for index in list where !(0..<layerCount).contains(index) {
        throw .layers(problem: "layer \(index) is not one of 0 to \(layerCount - 1)")
      }
      let sorted = list.sorted()
      for (first, second) in zip(sorted, sorted.dropFirst()) where first == second {
        throw .layers(problem: "layer \(first) is listed twice")
      }
      return sorted
    }
  }
}

/// How large the state of an expanded layer becomes, in the words of its family.
public struct ExpansionSize: Sendable, Equatable {
  /// The option's name in a recipe, for example `heads`.
  public let option: String
  /// Its value.
  public let value: Int

  /// Names option and value.
  public init(_ option: String, _ value: Int) { (self.option, self.value) = (option, value) }

  /// GLA: heads after merging, so that the state grows by (present heads) / (heads).
  public static func heads(_ count: Int) -> ExpansionSize { .init("heads", count) }
  /// Mamba2: how many times larger the state size becomes.
  public static func stateFactor(_ factor: Int) -> ExpansionSize { .init("state_factor", factor) }
}

/// How the weights of an expanded layer start.
public enum ExpansionInitialization: String, Sendable, CaseIterable {
  /// Drawn afresh: of GLA the token mixer and its norm, of Mamba2 what makes `B` and `C`. The default.
  case reinitialize
  /// What the paper's own code does: for GLA the same as `reinitialize`; for Mamba2 time steps, decay
  /// rates and the gated norm are reset too.
  case paper
  /// Trained weights are kept, and repeated where the layer is wider.
  case inherit
  /// The expanded model computes at first exactly what it did before.
  case preserve
}

/// A state expansion: which layers, how much larger, and how their weights start.
///
/// A plan is relative to the model it is applied to: layers that were expanded before can be expanded
/// again. A size equal to the present one expands nothing but still re-initialises, which is the
/// control of an experiment.
public struct ExpansionPlan: Sendable, Equatable {
  /// Which layers.
  public var layers: LayerSelection
  /// How large their state becomes.
  public var size: ExpansionSize
  /// How their weights start.
  public var initialization: ExpansionInitialization
  /// Seed of the weights that are drawn; each tensor's stream depends on it and the tensor's name.
  public var seed: UInt64

  /// Describes an expansion.
  public init(
    layers: LayerSelection, size: ExpansionSize,
    initialization: ExpansionInitialization = .reinitialize, seed: UInt64 = 0
  ) {
    self.layers = layers
    self.size = size
    self.initialization = initialization
    self.seed = seed
  }

  /// The plan on one line, for example `layers 0, 6: heads 1, init preserve, seed 0`.
  ///
  /// - Parameter layerCount: layers of the model.
  /// - Returns: which layers, how much larger, and how they start.
  public func summary(layerCount: Int) -> String {
    let indices = (try? layers.indices(layerCount: layerCount)) ?? []
    let growth = "\(size.option.replacing("_", with: " ")) \(size.value)"
    return "layers \(indices.map(String.init).joined(separator: ", ")): \(growth), init"
      + " \(initialization.rawValue), seed \(seed)"
  }

  /// The expanded model's configuration; allocates nothing.
  ///
  /// - Throws: `ExpansionError` when the plan does not fit this model.
  public func configuration(
    expanding configuration: ModelConfiguration
  ) throws(ExpansionError) -> ModelConfiguration {
    var expanded = configuration
    for index in try layers.indices(layerCount: configuration.layers.count) {
      expanded.layers[index] = try expansion(index, of: configuration).expandedLayer
    }
    guard expanded.isCountable else {
      throw .size(
        field: size.option, value: size.value,
        problem: "the model would have more than \(ModelConfiguration.mostParameters) parameters")
    }
    return expanded
  }

  /// The expansion of one layer, checked.
  private func expansion(
    _ index: Int, of configuration: ModelConfiguration
  ) throws(ExpansionError) -> any LayerExpansion {
    let family = try configuration.family.expandable
    guard size.option == family.sizeOption.name else {
      throw .size(
        field: size.option, value: size.value,
        problem: "\(family.title) layers are expanded by '\(family.sizeOption.name)'")
    }
    return try family.expansion(of: configuration.layers[index], index: index, plan: self)
  }

  /// Expands a model.
  ///
  /// Tensors of other layers, and those that an expanded layer keeps, are copied bit for bit. Time and
  /// memory are those of one copy of the model.
  ///
  /// - Parameters:
  ///   - configuration: the model's configuration.
  ///   - parameters: its parameters, not changed.
  ///   - trainable: what will be trained, which decides the order of the result in memory.
  /// - Returns: configuration and parameters of the expanded model.
  /// - Throws: `ExpansionError` when the plan does not fit this model.
  /// - Precondition: `parameters` has the layout of `configuration`.
  public func apply(
    configuration: ModelConfiguration, parameters: ParameterArena,
    trainable: TrainableParameters = .all
  ) throws(ExpansionError) -> (ModelConfiguration, ParameterArena) {
    require(
      parameters.layout == configuration.layout(), "parameters of another configuration")
    let expanded = try self.configuration(expanding: configuration)
    var fills: [(ParameterArena) -> [String]] = []
    for index in try layers.indices(layerCount: configuration.layers.count) {
      let prefix = configuration.family.layerPrefix(index)
      let expansion = try expansion(index, of: configuration)
      fills.append { expansion.fill($0, from: parameters, prefix: prefix) }
    }
    let arena = parameters.copied(to: expanded.layout(trainable: trainable)) { arena in
      fills.flatMap { $0(arena) }
    }
    return (expanded, arena)
  }
}
