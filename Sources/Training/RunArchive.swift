import Checkpointing
import Evaluation
import Files
import Foundation
import HuggingFaceInterop
import Kernels
import Logging
import TokenData

/// What a run keeps in its directory: checkpoints, metrics, evaluations, and in the end the export.
///
/// All ranks save; the lead writes everything else.
final class RunArchive {
  private let recipe: Recipe
  private let ranks: Ranks
  private let log: Logger
  private let inputs: RunInputs
  private let products: ProductPrecision
  private let phases: [Mixture.Phase]
  private let trainer: Trainer
  private let checkpoints: CheckpointWriter
  /// For the step that a run with an error leaves: it pushes no older checkpoint out.
  private let lastCheckpoint: CheckpointWriter
  private var metrics: RunMetrics?

  /// Opens the files; collective.
  ///
  /// - Throws: `AgreedError`, `CheckpointError`.
  init(
    _ recipe: Recipe, runID: String, inputs: RunInputs, start: RunStart, trainer: Trainer,
    products: ProductPrecision, ranks: Ranks, log: Logger
  ) throws {
    self.recipe = recipe
    self.ranks = ranks
    self.log = log
    self.inputs = inputs
    self.products = products
    self.trainer = trainer
    phases = start.phases
    let (output, keep) = (recipe.run.output, recipe.checkpoint.keep)
    checkpoints = try CheckpointWriter(run: output, runID: runID, keep: keep)
    lastCheckpoint = try CheckpointWriter(run: output, runID: runID, keep: keep + 1)
    metrics = try ranks.agree {
      guard ranks.leads else { return nil }
      try CheckpointCatalog.removeInterruptedSaves(in: output)
      try FileReplacement.write(Array(recipe.resolvedYAML().utf8), to: output + "/recipe.yaml")
      return try RunMetrics(recipe, resumingAfter: start.step)
    }
  }

  /// Writes a step's row, and logs it.
  func record(_ step: Int, _ result: Trainer.StepResult, seconds: Double) throws {
    try ranks.agree {
      guard let metrics else { return }
      try metrics.record(
        step: step, result, sources: trainer.sources, seconds: seconds,
        tokensPerStep: trainer.tokensPerStep)
      if step == 1 || step.isMultiple(of: recipe.metrics.logEvery) { log.info("\(metrics.line)") }
    }
  }

  /// Saves a checkpoint.
  ///
  /// - Parameters:
  ///   - step: steps done.
  ///   - leaving: whether the run ends with an error: then no older checkpoint is removed, and metrics
  ///     that cannot be written stop nothing.
  /// - Throws: `CheckpointError`, `AgreedError`, `CollectiveError`.
  func save(_ step: Int, leaving: Bool) throws {
    if !leaving { try ranks.agree { try metrics?.synchronize() } }
    let contents = CheckpointContents(
      step: step, layout: recipe.checkpointLayout(trainer.model).layout,
      stores: try trainer.storesToSave(), training: try record(step).json,
      creation: CheckpointCreation(
        host: ProcessInfo.processInfo.hostName, ranks: ranks.size,
        time: ISO8601DateFormatter().string(from: Date()), openBLAS: blasDescription(),
        products: products.description))
    let report = try (leaving ? lastCheckpoint : checkpoints).save(
      contents, coordination: RankCoordination(communicator: ranks.communicator))
    guard ranks.leads else { return }
    for warning in report.warnings { log.warning("\(warning)") }
    log.info("saved \(report.path)")
  }

  private func record(_ step: Int) throws -> TrainingRecord {
    let data = inputs.data.identity
    return TrainingRecord(
      step: step, tokens: step * trainer.tokensPerStep,
      learningRate: step > 0 ? recipe.train.learningRate[step] : nil,
      settings: data.settings + recipe.fixedSettings,
      model: try ModelIdentity(inputs.model.configuration), sources: data.sources,
      phases: phases)
  }

  /// Measures the model, unless somebody asks to stop; with `unlessDone` only when the step's row does not
  /// stand yet.
  func evaluate(_ step: Int, unlessDone: Bool) throws {
    try ranks.agree {
      guard ranks.leads else { return }
      if unlessDone, try inputs.evaluation.hasMeasured(step) { return }
      do {
        try inputs.evaluation.run(
          step: step, model: trainer.model, parameters: trainer.parameters.buffer, log: log
        ) { [ranks] in ranks.isAskedToStop }
      } catch EvaluationError.interrupted {
        log.info("step \(step)  the evaluation was given up; the next start makes up for it")
      }
    }
  }

  /// Writes the model as a Hugging Face directory, unless somebody asks to stop.
  ///
  /// - Returns: whether it stands.
  func export() throws -> Bool {
    let answer = try ranks.agree {
      do {
        return try exportFromLead()
      } catch InteropError.interrupted {
        return "interrupted"
      }
    }
    return try ranks.fromLead(answer) == "done"
  }

  private func exportFromLead() throws -> String {
    guard ranks.leads else { return "" }
    let path = recipe.run.output + "/export"
    try HuggingFaceModel.export(
      configuration: inputs.model.configuration, parameters: trainer.parameters,
      rawConfig: inputs.model.rawConfig, to: path,
      extras: ExportExtras(
        source: inputs.model.directory,
        card: RunCard(recipe, model: inputs.model, step: recipe.train.steps).card),
      isInterrupted: { [ranks] in ranks.isAskedToStop })
    log.info("exported \(path)")
    return "done"
  }
}
