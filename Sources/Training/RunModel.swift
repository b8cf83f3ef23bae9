import HuggingFaceInterop
import JSON
import LanguageModels
import Layers
import StateExpansion
import TensorStorage

/// The model that a recipe starts from, expanded as the recipe says.
public struct RunModel {
  /// What it is, after expansion.
  public let configuration: ModelConfiguration
  /// Which of its parameters are trained.
  public let trainable: TrainableParameters
  /// How it is expanded, if it is.
  let plan: ExpansionPlan?
  /// What the expansion did, if there is one.
  public let expansion: ExpansionReport?
  /// `config.json` as it was read, for the export.
  public let rawConfig: JSONValue?
  /// What a user should know about the configuration, a line each.
  public let warnings: [String]
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
      (base, rawConfig, warnings) = (loaded.configuration, loaded.raw, loaded.warnings)
      self.directory = directory
    case .scratch(let config, _):
      let json = config.jsonValue
      base = try ModelConfiguration(fields: config, path: "model.config")
      warnings = ModelConfiguration.warnings(configJSON: json, source: "recipe model.config")
      (rawConfig, directory) = (json, nil)
    }
    plan = try recipe.expansion?.plan(family: base.family, seed: recipe.run.seed)
    expansion = try plan.map { [base] in try ExpansionReport(of: $0, applyingTo: base) }
    configuration = try plan?.configuration(expanding: base) ?? base
    trainable = try Self.trainable(recipe, configuration, expansion)
  }

  /// The blocks that `trainable: expanded` means: those that this recipe's expansion changes and those
  /// that were expanded before.
  private static func trainable(
    _ recipe: Recipe, _ configuration: ModelConfiguration, _ expansion: ExpansionReport?
  ) throws -> TrainableParameters {
    guard recipe.train.trainable == .expanded else { return .all }
    let blocks = Set((expansion?.layers.map(\.index) ?? []) + configuration.expandedLayers)
    guard !blocks.isEmpty else {
      throw TrainingError.unsupported(
        "train.trainable: expanded, but no layer of the model is expanded: add an expansion section, "
          + "start from an expanded model, or use train.trainable: all")
    }
    return .blocks(blocks)
  }

  /// The model as mathematics, laid out for what is trained.
  public func languageModel() -> LanguageModel {
    LanguageModel(configuration, trainable: trainable)
  }

  /// Elements of the arena before expansion; 0 where nothing is expanded.
  var unexpandedCount: Int { recipe.expansion == nil ? 0 : base.layout().count }

  /// The weights at the start of training.
  public func initialParameters() throws -> ParameterArena {
    guard let plan else { return try baseParameters(trainable) }
    return try plan.apply(
      configuration: base, parameters: baseParameters(.all), trainable: trainable
    ).1
  }

  /// The weights before expansion.
  private func baseParameters(_ trainable: TrainableParameters) throws -> ParameterArena {
    switch recipe.model {
    case .pretrained(let directory):
      try HuggingFaceModel.load(directory: directory, trainable: trainable).parameters
    case .scratch(_, let initialization):
      ParameterArena(
        scratch: base, initialization: initialization, seed: recipe.run.seed,
        layout: base.layout(trainable: trainable))
    }
  }
}
