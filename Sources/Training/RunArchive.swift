import Checkpointing
import Evaluation
import Files
import Foundation
import HuggingFaceInterop
import Kernels
import Logging
import TensorStorage
import TokenData

/// What a run keeps in its directory: checkpoints, metrics, evaluations, and in the end the export.
///
/// All ranks save; the lead writes everything else.
final class RunArchive {
  let recipe: Recipe
  let ranks: Ranks
  let log: Logger
  let inputs: RunInputs
  private let environment: RunEnvironment
  private let phases: [Mixture.Phase]
  let trainer: Trainer
  private let writer: CheckpointWriter
  var metrics: RunMetrics?
  /// What the run directory says about the run; on the lead rank.
  private var status: RunStatus?

  private let replicas: ReplicaCheck
  /// Whether they were compared since they changed.
  var isVerified = false
  /// The loss of the last update.
  private var lastLoss: Double?
  private var verificationSeconds = 0.0

  /// The hashes of token files; gone through on the lead rank.
  private let tokenHashes: TokenHashes

  /// The checkpoints.
  private(set) lazy var saves = makeSaves()
  private let savedStep: Int

  /// Opens the files; collective.
  ///
  /// - Throws: `AgreedError`, `CheckpointError`.
  init(
    _ recipe: Recipe, point: StartingPoint, inputs: RunInputs, start: RunStart, trainer: Trainer,
    environment: RunEnvironment, ranks: Ranks, log: Logger
  ) throws {
    self.recipe = recipe
    self.ranks = ranks
    self.log = log
    self.inputs = inputs
    self.environment = environment
    self.trainer = trainer
    phases = start.phases
    replicas = ReplicaCheck(
      trainer.replicatedStores, layout: trainer.model.layout, part: trainer.ownPart)
    let output = recipe.run.output
    tokenHashes = TokenHashes(inputs.data, recorded: start.record?.tokenHashes ?? [:])
    savedStep = point.isOwn || start.reader == nil ? start.step : -1
    writer = try CheckpointWriter(
      run: output, runID: point.runID, retention: recipe.checkpoint.retention)
    metrics = try ranks.agree {
      guard ranks.leads else { return nil }
      try CheckpointCatalog.removeInterruptedSaves(in: output)
      try FileReplacement.write(Array(recipe.resolvedYAML().utf8), to: output + "/recipe.yaml")
      try inputs.evaluation.forget(after: start.step)
      return try RunMetrics(recipe, resumingAfter: start.step)
    }
    guard ranks.leads else { return }
    tokenHashes.start()
    for warning in metrics?.warnings ?? [] { log.warning("\(warning)") }
    status = RunStatus(
      runID: point.runID, savedStep: max(savedStep, 0), steps: recipe.train.steps,
      ranks: ranks.size, after: point.status)
    tell { _ in }
  }

  deinit { tokenHashes.stop() }

  private func makeSaves() -> RunSaves {
    RunSaves(
      recipe.checkpoint, writer: writer, savedStep: savedStep, ranks: ranks, log: log,
      hooks: .init(
        verify: { [unowned self] in try verify($0) },
        contents: { [unowned self] in try contents($0) },
        synchronize: { [unowned self] in try ranks.agree { try metrics?.synchronize() } },
        committed: { [unowned self] step in
          tell { status in
            status.savedStep = step
            status.idleLaunches = 0
          }
        },
        spareMemory: { [unowned self] in inputs.memory.spare(ranks: ranks.size, recipe.train) }))
  }

  /// Writes what became of the run; a status that cannot be written stops nothing.
  func tell(_ change: (inout RunStatus) -> Void) {
    guard var status else { return }
    change(&status)
    do throws(FileError) {
      try status.write(in: recipe.run.output)
    } catch {
      log.warning("\(error); \(RunStatus.fileName) is out of date")
    }
    self.status = status
  }

  /// Writes how the run ended.
  func end(_ state: RunStatus.State, failure: (line: String, exitCode: Int32)? = nil) {
    tell { status in (status.state, status.failure) = (state, failure) }
  }

  /// Writes a step's row, and logs it.
  func record(_ step: Int, _ result: Trainer.StepResult, seconds: Double) throws {
    let costs = saves.takeCosts()
    if result.spike == nil { lastLoss = result.loss }
    try ranks.agree {
      guard let metrics else { return }
      let hadProblem = metrics.problem != nil
      try metrics.record(
        step: step, result, sources: trainer.sources, seconds: seconds,
        tokensPerStep: trainer.tokensPerStep, saving: costs)
      if let problem = metrics.problem, !hadProblem {
        log.warning("\(problem); rows are kept in memory until they can be written")
      }
      if step == 1 || step.isMultiple(of: recipe.metrics.logEvery) { log.info("\(metrics.line)") }
    }
  }

  // MARK: Whether it is sound

  /// Before parameters or moments change; collective.
  ///
  /// Where ranks share updates, this is when copies are compared: the update overwrites a damaged copy, or
  /// hands it to all ranks.
  ///
  /// - Throws: `TrainingError.diverged`, `CollectiveError`.
  func valuesWillChange(in step: Int) throws {
    saves.valuesWillChange()
    isVerified = false
    if trainer.sharesUpdates && recipe.parallel.verifyEvery > 0 {
      try verify(step)
      if ranks.size > 1 { replicas.lookAgain() }
    }
    isVerified = false
  }

  /// Compares what all ranks hold a copy of when a step is done at which the recipe says so; collective.
  ///
  /// - Returns: seconds that comparing took in this step; nil if nothing was compared.
  /// - Throws: `TrainingError.diverged`, `CollectiveError`.
  func verifyWhenDue(_ step: Int) throws -> Double? {
    defer { verificationSeconds = 0 }
    let every = recipe.parallel.verifyEvery
    if !trainer.sharesUpdates && every > 0 && step.isMultiple(of: every) { try verify(step) }
    return verificationSeconds > 0 ? verificationSeconds : nil
  }

  private func verify(_ step: Int) throws {
    guard ranks.size > 1, !isVerified else { return }
    let start = RunClock.seconds
    try replicas.run(ranks, step: step)
    verificationSeconds += RunClock.seconds - start
    isVerified = true
  }

  /// Makes sure that only finite numbers are saved; collective.
  ///
  /// Ranks divide what all of them hold.
  ///
  /// - Throws: `TrainingError.notFinite` on all ranks, `CollectiveError`.
  private func requireFinite(
    _ stores: [CheckpointStore], _ layout: ParameterLayout, _ step: Int
  ) throws {
    let copies = Set(trainer.replicatedStores.map(\.name))
    let pieces = stores.flatMap { store in
      TensorPiece.pieces(of: store, layout).enumerated().filter { index, _ in
        !copies.contains(store.name) || index % ranks.size == ranks.rank
      }.map(\.element)
    }
    let mine = firstNotFinite(pieces)?.name ?? ""
    let names = try ranks.communicator.gather(Array(mine.utf8))
    guard let bad = names.first(where: { !$0.isEmpty }) else { return }
    let name = String(decoding: bad, as: UTF8.self)
    throw TrainingError.notFinite(step: step, what: "\(name) is not finite and is not saved")
  }

  /// What is saved after a step; collective.
  private func contents(_ step: Int) throws -> CheckpointContents {
    let layout = recipe.checkpointLayout(trainer.model).layout
    let stores = try trainer.storesToSave()
    try ranks.agree { try tokenHashes.check() }
    try requireFinite(stores, layout, step)
    return CheckpointContents(
      step: step, layout: layout, stores: stores, training: try record(step).json,
      creation: CheckpointCreation(
        host: ProcessInfo.processInfo.hostName, ranks: ranks.size,
        time: ISO8601DateFormatter().string(from: Date()), openBLAS: blasDescription(),
        products: environment["products"]))
  }

  private func record(_ step: Int) throws -> TrainingRecord {
    let data = inputs.data.identity
    return TrainingRecord(
      step: step, tokens: step * trainer.tokensPerStep,
      learningRate: step > 0 ? recipe.train.learningRate[step] : nil,
      settings: data.settings + recipe.fixedSettings,
      model: try ModelIdentity(inputs.model.configuration), sources: data.sources,
      phases: phases, loss: lastLoss, spikes: trainer.spikes,
      recipe: recipe.settings, environment: environment, tokenHashes: tokenHashes.found)
  }

  /// Measures the model, unless somebody asks to stop; with `unlessDone` only when the step's row does not
  /// stand yet; collective.
  func evaluate(_ step: Int, unlessDone: Bool) throws {
    let evaluation = inputs.evaluation
    let isDone = try ranks.agree {
      try unlessDone && ranks.leads && evaluation.hasMeasured(step) ? "done" : ""
    }
    guard try ranks.fromLead(isDone).isEmpty else { return }
    let report: EvaluationReport
    do {
      report = try evaluation.report(
        of: trainer.model, parameters: trainer.parameters.buffer, ranks: ranks
      ) { [ranks] in ranks.isAskedToStop }
    } catch EvaluationError.interrupted {
      log.info("step \(step)  evaluation interrupted; it will run at the next start")
      return
    }
    try ranks.agree {
      guard ranks.leads else { return }
      try evaluation.write(report, step: step, log: log)
      try metrics?.show(report.scalars.map { ($0.name, $0.value) }, step: step)
    }
  }

  /// Writes the model as a Hugging Face directory, unless somebody asks to stop.
  ///
  /// - Returns: whether it stands.
  func export() throws -> Bool {
    ranks.activity.enter(.exporting)
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
