import Checkpointing
import Foundation
import LanguageModels
import TensorStorage
import TokenData

/// The state from which a run goes on: that of a checkpoint, or of a model that was never trained.
struct RunStart {
  /// The parameters.
  let parameters: ParameterArena
  /// The checkpoint; nil at the beginning.
  let reader: CheckpointReader?
  /// What the checkpoint says of the run; nil at the beginning.
  let record: TrainingRecord?
  /// How sources are mixed, phase by phase.
  let phases: [Mixture.Phase]

  /// Steps done.
  var step: Int { reader?.manifest.step ?? 0 }

  /// Reads the parameters, and makes sure that the recipe goes on with what the checkpoint began.
  ///
  /// - Parameters:
  ///   - checkpoint: the checkpoint's directory; nil to begin.
  ///   - recipe: the run.
  ///   - inputs: what it works on.
  ///   - isInterrupted: asked while the checkpoint is read; once it says true, reading ends.
  /// - Throws: `TrainingError`, `CheckpointError`, and what reading a model can throw.
  init(
    _ checkpoint: String?, _ recipe: Recipe, _ inputs: RunInputs,
    isInterrupted: @escaping () -> Bool
  ) throws {
    guard let checkpoint else {
      parameters = try inputs.model.initialParameters()
      (reader, record) = (nil, nil)
      phases = [Mixture.Phase(firstSample: 0, weights: inputs.data.identity.weights)]
      return
    }
    let reader = try CheckpointReader(path: checkpoint)
    reader.isInterrupted = isInterrupted
    let step = reader.manifest.step
    // Before the tensors, whose order depends on what is trained.
    let record = try TrainingRecord(reader.manifest.training, path: checkpoint)
    phases = try record.phases(resuming: recipe, inputs.data, inputs.model)
    guard step <= recipe.train.steps else {
      throw TrainingError.alreadyTrained(steps: recipe.train.steps, checkpoint: step)
    }
    let model = inputs.model.languageModel()
    try reader.require(recipe.checkpointLayout(model).layout)
    parameters = ParameterArena(layout: model.layout)
    try reader.read(into: CheckpointStore(parameters: parameters))
    (self.reader, self.record) = (reader, record)
  }

  /// What is another than it was for the checkpoint, and what that means for the bits; one line each.
  func changes(_ recipe: Recipe, _ environment: RunEnvironment) -> [RunNote] {
    guard let record, let reader else { return [] }
    let before = record.environment ?? RunEnvironment(reader.manifest.creation)
    return recipe.notes(since: record.recipe, step)
      + before.notes(
        now: environment, after: step, isReproducible: recipe.parallel.isReproducible)
  }

  /// What the user should know about going on, one line each.
  func notes(_ recipe: Recipe, _ data: DataIdentity) -> [RunNote] {
    var notes: [RunNote] = []
    guard let record else { return recipe.train.trainsNothing.map { [.warning($0)] } ?? [] }
    if let was = record.learningRate, let text = recipe.train.jump(from: was, after: step) {
      notes.append(.warning(text))
    }
    if record.model == nil {
      notes.append(
        .information(
          "the checkpoint comes from an older version and does not record the model's configuration, so "
            + "it was not compared"
        ))
    }
    if phases != record.phases, let phase = phases.last {
      let mixed = zip(data.sources, phase.weights).map { "\($0.name) \($1)" }
      notes.append(
        .information(
          "from step \(step + 1) (sample \(phase.firstSample)) on, the mixture is: "
            + mixed.joined(separator: ", ")))
    }
    return notes
  }
}

/// A line for the log.
public enum RunNote: Sendable, Equatable {
  /// What is good to know.
  case information(String)
  /// What is probably not wanted.
  case warning(String)
}

extension TrainingRecord {
  /// How sources are mixed when a recipe goes on from the record's step.
  ///
  /// - Throws: `TrainingError.changed` when it does not go on with what was begun, and what describing the
  ///   model can throw.
  func phases(
    resuming recipe: Recipe, _ data: RunData, _ model: RunModel
  ) throws -> [Mixture.Phase] {
    try resuming(
      with: data.identity, recipe.fixedSettings, model: ModelIdentity(model.configuration),
      nextSample: UInt64(spikes.batch(ofStep: step + 1) - 1)
        * UInt64(recipe.train.sequencesPerStep))
  }
}

extension Recipe {
  /// Keys beside the data's that must not change when a run is resumed.
  var fixedSettings: [(field: String, value: String)] {
    [
      ("train.trainable", train.trainable.rawValue),
      ("train.optimizer.moments", train.optimizer.moments.rawValue),
    ]
  }
}

extension Recipe.Train {
  /// A warning when no step has a learning rate above 0.
  var trainsNothing: String? {
    guard steps == 1, learningRate[1] == 0 else { return nil }
    return
      "the learning rate of the only step is 0 (train.optimizer.min_lr), so nothing is trained: "
      + "remove train.schedule.warmup_steps, or set it to 1"
  }

  /// A warning when the schedule does not go on from the learning rate that step `step` had.
  func jump(from was: Double, after step: Int) -> String? {
    let rate = learningRate
    guard step < steps, abs(rate[step] - was) > 0.01 * max(was, rate[step]) else { return nil }
    func text(_ value: Double) -> String { String(format: "%.2e", value) }
    return
      "the learning rate jumps from \(text(was)) at step \(step) to \(text(rate[step + 1])) at "
      + "step \(step + 1): train.steps, train.schedule or train.optimizer.lr have changed"
  }
}
