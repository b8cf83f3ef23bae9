import Checkpointing
import HuggingFaceInterop
import LanguageModels
import TensorStorage

/// The model of a checkpoint, or the mean of several, as a Hugging Face directory.
///
/// Only weights are read, no optimizer state.
public struct CheckpointExport {
  private let recipe: Recipe
  private let model: RunModel
  private let readers: [CheckpointReader]

  /// Opens checkpoints of one run.
  ///
  /// - Parameters:
  ///   - checkpoints: their directories, at least one.
  ///   - recipe: what they were trained with: the run's `recipe.yaml`, `run.output` being where it is now.
  /// - Throws: `CheckpointError`; `RecipeError`; `TrainingError.changed` when the recipe describes another
  ///   model; what reading a model's configuration throws.
  public init(_ checkpoints: [String], recipe: Recipe) throws {
    self.recipe = recipe
    model = try RunModel(recipe)
    let identity = try ModelIdentity(model.configuration)
    let layout = recipe.checkpointLayout(model.languageModel()).layout
    readers = try checkpoints.map { path in
      let reader = try CheckpointReader(path: path)
      let record = try TrainingRecord(reader.manifest.training, path: path)
      if let change = record.model?.difference(to: identity) {
        throw TrainingError.changed(field: change.field, was: change.was, now: change.now)
      }
      try reader.require(layout)
      return reader
    }
  }

  /// The model as mathematics, laid out as its weights are.
  public var languageModel: LanguageModel { model.languageModel() }

  /// Where the pretrained model's tokenizer files are, if the run began with one.
  public var tokenizerDirectory: String? { model.directory }

  /// Writes the model.
  ///
  /// - Parameters:
  ///   - directory: where; replaced when it is an export.
  ///   - dtype: the weights' types.
  /// - Throws: `CheckpointError`, `InteropError`, `FileError`.
  public func write(to directory: String, dtype: ElementTypes) throws {
    let steps = readers.map(\.manifest.step)
    var card = try RunCard(recipe, model: model, step: steps.max() ?? 0).card
    if steps.count > 1 {
      card.add(
        "weights",
        "the mean of the checkpoints of steps "
          + steps.sorted().map(String.init).joined(separator: ", "))
    }
    try HuggingFaceModel.export(
      configuration: model.configuration, parameters: try parameters(), rawConfig: model.rawConfig,
      to: directory, dtype: dtype, extras: ExportExtras(source: model.directory, card: card))
  }

  /// The weights: summed in double precision where they are a mean.
  ///
  /// - Throws: `CheckpointError`.
  public func parameters() throws -> ParameterArena {
    let arena = ParameterArena(layout: model.languageModel().layout)
    let store = CheckpointStore(parameters: arena)
    guard readers.count > 1 else {
      try readers[0].read(into: store)
      return arena
    }
    var sums = [Double](repeating: 0, count: arena.layout.count)
    for reader in readers {
      try reader.read(into: store)
      for i in sums.indices { sums[i] += Double(arena.buffer.pointer[i]) }
    }
    for i in sums.indices { arena.buffer.pointer[i] = Float(sums[i] / Double(readers.count)) }
    return arena
  }
}
