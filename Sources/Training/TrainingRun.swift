import Checkpointing
import Collectives
import Foundation
import HuggingFaceInterop
import Kernels
import LanguageModels
import Logging
import TensorFiles
import TensorStorage
import TrainingMetrics

/// A training run from its recipe to its export: the loop around `Trainer`, with what it keeps on
/// disk.
public final class TrainingRun {
  /// How a run ended.
  public enum Outcome: Sendable, Equatable {
    /// All steps are done and the model is exported.
    case finished
    /// Stopped on a signal after saving: to be started again.
    case stopped
  }

  private let recipe: Recipe
  private let ranks: Ranks
  private let log: Logger
  private let model: RunModel
  private let data: RunData
  private let evaluation: RunEvaluation
  private let trainer: Trainer
  private let lock: RunLock?
  private let checkpoints: CheckpointWriter
  private let threads: Int
  private let precision: RunPrecision
  private var metrics: RunMetrics?
  private var step: Int
  private var savedStep: Int

  /// Sets a run up: reads the model or the checkpoint, opens the data, takes the run directory.
  ///
  /// - Throws: `AgreedError` on all ranks when any of them could not.
  public init(_ recipe: Recipe, resume: ResumeMode, ranks: Ranks, log: Logger) throws {
    self.recipe = recipe
    self.ranks = ranks
    self.log = log
    configureBLAS()
    let (threads, oversubscribed) = try ranks.threads(asked: recipe.parallel.threadsPerRank)
    self.threads = threads
    ThreadPool.configure(threadCount: threads, spins: oversubscribed ? 0 : 4000)
    if oversubscribed && ranks.leads {
      log.warning(
        "\(threads) threads on each of \(ranks.size) ranks are more than the processors they may use; lower parallel.threads_per_rank or start fewer ranks"
      )
    }
    let precision = try RunPrecision(recipe.train.precision, ranks: ranks)
    self.precision = precision
    (model, data, evaluation) = try ranks.agree {
      try Self.checkDivision(recipe, ranks: ranks.size)
      let model = try RunModel(recipe)
      try TrainingMemory(
        recipe, model.languageModel(), ranks: ranks.size, precision: precision.products
      ).checkScratch()
      return (
        model, try RunData(recipe, model: model), try RunEvaluation(recipe, model: model)
      )
    }
    let check = try ranks.agree { [data] in
      try data.checkTokens(part: ranks.rank, of: ranks.size)
    }
    if ranks.leads && check.bytes > 0 { log.info("checked token ids, on each rank \(check)") }
    let output = recipe.run.output
    lock = try ranks.agree {
      guard ranks.leads else { return nil }
      try makeDirectory(output)
      return try RunLock(run: output)
    }
    var start = try ranks.agree { ranks.leads ? try StartingPoint(resume, output: output) : nil }
    for warning in model.warnings + (start?.warnings ?? []) { log.warning("\(warning)") }
    let point = StartingPoint(message: try ranks.fromLead(start?.message ?? ""))
    start = nil

    let (data, runModel) = (data, model)
    let reader: CheckpointReader?
    let parameters: ParameterArena
    do {
      (reader, parameters) = try ranks.agree {
        try Self.parameters(point, runModel, recipe, identity: Self.identity(recipe, data))
      }
    } catch {
      if ranks.leads { removeUnusedRun(output) }
      throw error
    }
    let sharing = try ranks.sharing(recipe.parallel.sequenceRanks)
    trainer = try ranks.agree {
      try Trainer(
        recipe, model: runModel.languageModel(), parameters: parameters, stream: data.stream,
        ranks: ranks, sharing: sharing, precision: precision.products)
    }
    step = reader?.manifest.step ?? 0
    savedStep = resume == .auto || reader == nil ? step : -1
    checkpoints = try CheckpointWriter(
      run: output, runID: point.runID, keep: recipe.checkpoint.keep)
    try ranks.agree {
      if ranks.leads { try CheckpointCatalog.removeInterruptedSaves(in: output) }
      guard let reader else { return }
      for store in trainer.progress { try reader.read(into: store) }
    }
    metrics = try ranks.agree {
      guard ranks.leads else { return nil }
      try writeAtomically(recipe.resolvedYAML(), to: output + "/recipe.yaml")
      return try RunMetrics(recipe, resumingAfter: step)
    }
    announce(resumedFrom: reader?.path)
  }

  /// Refuses ranks that do not divide as the recipe says.
  static func checkDivision(_ recipe: Recipe, ranks: Int) throws {
    let parts = recipe.parallel.sequenceRanks
    guard ranks.isMultiple(of: parts) else {
      throw TrainingError.unsupported(
        "\(ranks) rank\(ranks == 1 ? "" : "s") with parallel.sequence_ranks: \(parts): start a "
          + "multiple of \(parts) ranks")
    }
    if recipe.train.microBatches < ranks / parts {
      let groups = parts == 1 ? "" : " in groups of \(parts)"
      throw TrainingError.unsupported(
        "\(ranks) ranks\(groups) share \(recipe.train.microBatches) micro-batches a step "
          + "(train.sequences_per_step / train.micro_batch): start fewer ranks or raise "
          + "train.sequences_per_step")
    }
    let plan = recipe.segments
    guard plan.isPossible else {
      throw TrainingError.unsupported(
        "data.sequence_length: \(plan.length) tokens in segments of \(parts) ranks x "
          + "\(recipe.train.segmentLength) (train.segment_length) leave \(plan.lastLength) for the "
          + "last one, fewer than the ranks that share it: change one of the three")
    }
  }

  /// What must not change when a run is resumed.
  private static func identity(
    _ recipe: Recipe, _ data: RunData
  ) -> [(field: String, value: String)] {
    data.identity + [
      ("train.trainable", recipe.train.trainable.rawValue),
      ("train.optimizer.moments", recipe.train.optimizer.moments.rawValue),
    ]
  }

  /// The parameters to start with, from the checkpoint or from the model.
  private static func parameters(
    _ point: StartingPoint, _ model: RunModel, _ recipe: Recipe,
    identity: [(field: String, value: String)]
  ) throws -> (CheckpointReader?, ParameterArena) {
    guard let path = point.checkpoint else { return (nil, try model.initialParameters()) }
    let reader = try CheckpointReader(path: path)
    // Before the tensors, whose order depends on what is trained.
    try TrainingRecord.check(reader.manifest.training, against: identity)
    let languageModel = model.languageModel()
    try reader.require(recipe.checkpointLayout(languageModel).layout)
    let parameters = ParameterArena(layout: languageModel.layout)
    try reader.read(into: CheckpointStore(parameters: parameters))
    return (reader, parameters)
  }

  private func announce(resumedFrom path: String?) {
    guard ranks.leads else { return }
    let count = trainer.model.layout.parameterCount
    log.info(
      "\(recipe.run.name): \(count) parameters, \(model.configuration.recurrentStateCount) numbers of recurrent state"
    )
    log.info(
      "\(ranks.size) rank\(ranks.size == 1 ? "" : "s") x \(threads) thread\(threads == 1 ? "" : "s"), \(precision.products); \(ranks.communicator.library.split(separator: ",").first ?? ""); \(blasDescription())"
    )
    switch precision.note {
    case .information(let text): log.info("\(text)")
    case .warning(let text): log.warning("\(text)")
    case nil: break
    }
    if let expansion = model.expansion, path == nil { log.info("state expansion:\n\(expansion)") }
    if let path {
      let restarts = ProcessInfo.processInfo.environment["SLURM_RESTART_COUNT"]
      log.info(
        "resuming after step \(step) from \(path)\(restarts.map { " (Slurm restart \($0))" } ?? "")"
      )
    }
  }

  /// Trains to the last step, or until a signal.
  ///
  /// - Throws: what stopped it; checkpoints committed before stay valid.
  public func run() throws -> Outcome {
    while step < recipe.train.steps {
      let asked = try ranks.communicator.maximum(StopSignals.isRequested ? 1 : 0) == 1
      if asked {
        if savedStep != step { try save() }
        if ranks.leads {
          log.notice("stopped by \(StopSignals.name) after step \(step); start again to go on")
        }
        return .stopped
      }
      let start = DispatchTime.now().uptimeNanoseconds
      let result = try trainer.step(step + 1)
      step += 1
      let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
      try record(result, seconds: seconds)
      let isLast = step == recipe.train.steps
      if evaluation.isDue(step: step, last: recipe.train.steps) { try evaluate() }
      if isLast || (recipe.checkpoint.every > 0 && step.isMultiple(of: recipe.checkpoint.every)) {
        try save()
      }
    }
    if savedStep != step { try save() }
    try export()
    if ranks.leads, let peak = Self.peakMemory() {
      log.info("peak memory of rank 0: \(String(format: "%.2f", Double(peak) * 1e-9)) GB")
    }
    return .finished
  }

  /// Bytes of memory that this process held at most, as the kernel counts.
  private static func peakMemory() -> Int? {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
      .map { $0 * 1024 }
  }

  private func record(_ result: Trainer.StepResult, seconds: Double) throws {
    try ranks.agree {
      guard metrics != nil else { return }
      try metrics?.record(
        step: step, result, sources: trainer.sources, seconds: seconds,
        tokensPerStep: trainer.tokensPerStep)
      if step == 1 || step.isMultiple(of: recipe.metrics.logEvery) {
        log.info("\(metrics?.line ?? "")")
      }
    }
  }

  private func evaluate() throws {
    try ranks.agree {
      guard ranks.leads else { return }
      try evaluation.run(
        step: step, model: trainer.model, parameters: trainer.parameters.buffer,
        segmentLength: recipe.train.segmentLength, log: log)
    }
  }

  private func save() throws {
    let record = TrainingRecord(
      step: step, tokens: step * trainer.tokensPerStep, identity: Self.identity(recipe, data))
    try ranks.agree { try metrics?.synchronize() }
    let contents = CheckpointContents(
      step: step, layout: recipe.checkpointLayout(trainer.model).layout,
      stores: try trainer.storesToSave(), training: record.json,
      creation: CheckpointCreation(
        host: ProcessInfo.processInfo.hostName, ranks: ranks.size,
        time: ISO8601DateFormatter().string(from: Date()), openBLAS: blasDescription(),
        products: precision.products.description))
    let report = try checkpoints.save(
      contents, coordination: RankCoordination(communicator: ranks.communicator))
    savedStep = step
    guard ranks.leads else { return }
    for warning in report.warnings { log.warning("\(warning)") }
    log.info("saved \(report.path)")
  }

  private func export() throws {
    try ranks.agree {
      guard ranks.leads else { return }
      let path = recipe.run.output + "/export"
      try HuggingFaceModel.export(
        configuration: model.configuration, parameters: trainer.parameters,
        rawConfig: model.rawConfig, to: path, madeFrom: model.directory)
      log.info("exported \(path)")
    }
  }
}
