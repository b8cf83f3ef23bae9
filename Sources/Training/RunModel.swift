import HuggingFaceInterop
import LanguageModels
import Layers
import StateExpansion
import TensorFiles
import TensorStorage

/// The model that a recipe starts from, expanded as the recipe says.
public struct RunModel {
  /// What it is, after expansion.
  public let configuration: ModelConfiguration
  /// What the expansion did, if there is one.
  public let expansion: ExpansionReport?
  /// `config.json` as it was read, for the export.
  public let rawConfig: JSONValue?
  /// Where tokenizer files are, if the model came from a directory.
  public let directory: String?

  private let base: ModelConfiguration
  private let recipe: Recipe

  /// Reads or decodes the configuration; no weights yet.
  public init(_ recipe: Recipe) throws {
    self.recipe = recipe
    switch recipe.model {
    case .pretrained(let directory):
      let loaded = try HuggingFaceModel.loadConfiguration(directory: directory)
      (base, rawConfig) = (loaded.configuration, loaded.raw)
      self.directory = directory
    case .scratch(let config, _):
      let json = config.jsonValue
      base = try ModelConfiguration(configJSON: json, source: "recipe model.config")
      (rawConfig, directory) = (json, nil)
    }
    if let expansion = recipe.expansion {
      let plan = expansion.plan(family: base.family, seed: recipe.run.seed)
      self.expansion = try ExpansionReport(of: plan, applyingTo: base)
      configuration = try plan.configuration(expanding: base)
    } else {
      expansion = nil
      configuration = base
    }
  }

  /// The weights at the start of training.
  public func initialParameters() throws -> ParameterArena {
    let parameters: ParameterArena
    switch recipe.model {
    case .pretrained(let directory):
      parameters = try HuggingFaceModel.load(directory: directory).parameters
    case .scratch(_, let initialization):
      parameters = ParameterArena(
        scratch: base, initialization: initialization, seed: recipe.run.seed)
    }
    guard let expansion = recipe.expansion else { return parameters }
    let plan = expansion.plan(family: base.family, seed: recipe.run.seed)
    return try plan.apply(configuration: base, parameters: parameters).1
  }
}
