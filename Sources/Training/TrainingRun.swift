import Checkpointing
import Collectives
import ErrorReporting
import Files
import Foundation
import Kernels
import LanguageModels
import Logging

/// A training run from its recipe to its export: the work of `RunLoop`.
///
/// What it works on is `RunInputs`, what it starts from `RunStart`, a step `Trainer`, what it keeps
/// `RunArchive`.
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
  private let lock: RunLock?
  /// What runs the steps.
  package let trainer: Trainer
  private let archive: RunArchive
  private let texts: RunTexts
  private var loop: RunLoop
  /// The step that ran last in this process; 0 before the first one.
  package private(set) var lastStep = 0
  private var result: (step: Trainer.StepResult, seconds: Double)?

  /// Sets a run up: reads the model or the checkpoint, opens the data, takes the run directory.
  ///
  /// - Throws: `AgreedError` on all ranks when any of them could not; `StoppedBeforeTraining` on all
  ///   ranks when any was asked to stop.
  public init(_ recipe: Recipe, resume: ResumeMode, ranks: Ranks, log: Logger) throws {
    (self.recipe, self.ranks, self.log) = (recipe, ranks, log)
    try ranks.startWatch(recipe, log)
    ranks.explainMappingFaults()
    ranks.setDeadline(recipe.run.timeLimit, log)
    configureBLAS()
    let threads = try ranks.configureThreads(recipe.parallel.threadsPerRank) {
      log.warning("\($0)")
    }
    let precision = try RunPrecision(recipe.train.precision, ranks: ranks)
    let ranksHere = try ranks.countOnThisHost()
    let inputs = try ranks.agree {
      let inputs = try RunInputs(recipe, ranks: ranks.size, precision: precision.products)
      if let shortage = inputs.memory.shortage(ranksHere: ranksHere) { throw shortage }
      try inputs.memory.checkScratch()
      try inputs.memory.checkAvailable()
      return inputs
    }
    let check = try ranks.agree {
      try inputs.data.checkTokens(part: ranks.rank, of: ranks.size) { ranks.isAskedToStop }
    }
    try ranks.stopIfAsked()
    if ranks.leads && check.bytes > 0 { log.info("token ids checked, on each rank \(check)") }
    let output = recipe.run.output
    lock = try ranks.agree {
      guard ranks.leads else { return nil }
      try FileSystem.createDirectories(output)
      return try RunLock(run: output)
    }
    let (point, start): (StartingPoint, RunStart)
    do {
      (point, start) = try Self.start(recipe, resume, inputs, ranks, log)
    } catch {
      if ranks.leads { removeUnusedRun(output) }
      throw error
    }
    let texts = inputs.data.texts
    self.texts = texts
    try ranks.agree { if ranks.leads { try texts.startTokenizing(log) } }
    texts.startFollowing()
    trainer = try Self.trainer(recipe, inputs, start, precision.products, ranks)
    let environment = RunEnvironment(
      products: precision.products, ranks: ranks, threads: threads)
    archive = try RunArchive(
      recipe, point: point, inputs: inputs, start: start, trainer: trainer,
      environment: environment, ranks: ranks, log: log)
    ranks.activity.enter(.starting, step: start.step)
    loop = RunLoop(steps: recipe.train.steps, after: start.step) {
      inputs.evaluation.isDue(step: $0, last: recipe.train.steps)
    }
    trainer.valuesWillChange = { [archive] in try archive.valuesWillChange(in: $0) }
    ranks.stop.savingTakes = { [archive] in
      archive.saves.longestSave > 0 ? archive.saves.longestSave : nil
    }
    texts.isWaiting = Self.waiting(texts, ranks, log)
    trainer.isWaiting = texts.isWaiting
    announce(inputs, threads: threads, precision)
    announce(start, inputs, environment)
  }

  /// Where the run starts, and what it starts from; collective.
  private static func start(
    _ recipe: Recipe, _ resume: ResumeMode, _ inputs: RunInputs, _ ranks: Ranks, _ log: Logger
  ) throws -> (StartingPoint, RunStart) {
    let found = try reading(ranks) { isInterrupted in
      ranks.leads
        ? try StartingPoint(resume, output: recipe.run.output, isInterrupted: isInterrupted) : nil
    }
    for warning in inputs.model.warnings + inputs.mismatches + (found?.warnings ?? []) {
      log.warning("\(warning)")
    }
    try ranks.stopIfAsked()
    var point = StartingPoint(message: try ranks.fromLead(found?.message ?? ""))
    if let found { point = found }
    let start = try reading(ranks) { isInterrupted in
      try RunStart(point.checkpoint, recipe, inputs, isInterrupted: isInterrupted)
    }
    let notes = try ranks.agree { try found?.setAside(in: recipe.run.output) ?? [] }
    for note in notes { log.notice("\(note)") }
    try ranks.stopIfAsked()
    return (point, start)
  }

  /// Says every ten seconds what a step waits for.
  private static func waiting(
    _ texts: RunTexts, _ ranks: Ranks, _ log: Logger
  ) -> (_ seconds: Double) -> Void {
    var next = 10.0
    return { [unowned texts] seconds in
      if seconds < next - 10 { next = 10 }
      guard seconds >= next, ranks.leads else { return }
      next += 10
      log.info("waiting for samples since \(Int(seconds)) s: \(texts.progress)")
    }
  }

  /// What runs the steps, with the checkpoint's moments; collective.
  private static func trainer(
    _ recipe: Recipe, _ inputs: RunInputs, _ start: RunStart, _ products: ProductPrecision,
    _ ranks: Ranks
  ) throws -> Trainer {
    let group = try ranks.group(of: recipe.parallel.sequenceRanks)
    return try reading(ranks) { _ in
      let trainer = try Trainer(
        recipe, model: inputs.model.languageModel(), parameters: start.parameters,
        stream: inputs.data.stream(phases: start.phases), ranks: ranks, memory: inputs.memory,
        group: group, precision: products)
      for store in trainer.progress { try start.reader?.read(into: store) }
      trainer.spikes = start.record?.spikes ?? SpikeHistory()
      return trainer
    }
  }

  /// What `body` reads of a checkpoint on every rank, unless one is asked to stop meanwhile; collective.
  ///
  /// - Throws: `StoppedBeforeTraining` on all ranks; `AgreedError`.
  private static func reading<Value>(
    _ ranks: Ranks, _ body: (_ isInterrupted: @escaping () -> Bool) throws -> Value
  ) throws -> Value {
    let value = try ranks.agree { () throws -> Value? in
      do {
        return try body { ranks.isAskedToStop }
      } catch CheckpointError.interrupted {
        return nil
      }
    }
    try ranks.stopIfAsked()
    guard let value else { throw StoppedBeforeTraining() }
    return value
  }

  /// Trains to the last step and exports, or until somebody asks to stop.
  ///
  /// - Throws: what stopped it; checkpoints committed before stay valid.
  public func run() throws -> Outcome {
    defer { texts.stop() }
    do {
      let outcome = try advance()
      archive.end(outcome == .finished ? .finished : .saved)
      return outcome
    } catch {
      let failure = FailureReport(error)
      archive.end(.failed, failure: (failure.line, failure.exitCode))
      throw error
    }
  }

  private func advance() throws -> Outcome {
    guard try loop.run(self), try archive.export() else {
      if try ranks.areAskedToStop(), ranks.leads, let reason = ranks.stopReason {
        log.notice("stopped by \(reason) after step \(loop.step); start again to resume")
      }
      return .stopped
    }
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
}

extension TrainingRun: RunWork {
  package func isAskedToStop() throws -> Bool {
    try ranks.areAskedToStop(before: result?.seconds ?? 0)
  }

  package func train(_ step: Int) throws -> Int? {
    let start = RunClock.seconds
    guard var outcome = try trainer.step(step) else { return nil }
    let seconds = RunClock.seconds - start
    outcome.verification = try archive.verifyWhenDue(step)
    result = (outcome, seconds)
    lastStep = step
    return try outcome.spike.map(archive.answer) ?? step
  }

  package func record(_ step: Int) throws {
    guard let result else { return }
    ranks.activity.enter(.recording)
    try archive.record(step, result.step, seconds: result.seconds)
  }

  package func tendSaves(after step: Int) throws -> Int {
    try saving(step) { try archive.saves.tend(after: step) }
  }

  package func save(_ step: Int) throws -> Int {
    try saving(step) { try archive.saves.finish(step, leaving: false) }
  }

  /// Saves; where what the step left is not finite, and the recipe says to go back from spikes, goes back.
  ///
  /// - Returns: how many steps are done now.
  private func saving(_ step: Int, _ save: () throws -> Void) throws -> Int {
    ranks.activity.enter(.saving)
    do {
      try save()
      return step
    } catch TrainingError.notFinite(step: _, let what)
      where recipe.train.onSpike.policy == .rollBack
    {
      let last = result?.step
      return try archive.answer(
        Spike(
          step: step, loss: last?.loss ?? .nan, gradientNorm: last?.gradientNorm ?? .nan,
          what: what))
    }
  }

  package func evaluate(_ step: Int, unlessDone: Bool) throws {
    ranks.activity.enter(.evaluating)
    try archive.evaluate(step, unlessDone: unlessDone)
  }

  package func rescue(_ step: Int, after error: any Error) -> any Error {
    // After any other error ranks do not know where the others are.
    guard Ranks.isShared(error) else { return error }
    do {
      if case .diverged? = error as? TrainingError {
        try archive.saves.abandon()
      } else if canSave(after: error) {
        try archive.saves.finish(step, leaving: true)
      } else {
        try archive.saves.settle(at: step)
      }
      return error
    } catch let second {
      return ranks.joined(error, second)
    }
  }

  /// Whether all ranks hold the whole state after the last step, and saving it is not what failed.
  private func canSave(after error: any Error) -> Bool {
    guard !(error is CheckpointError), trainer.isBetweenSteps else { return false }
    guard case .notFinite? = error as? TrainingError else { return true }
    let stores = trainer.replicatedStores
    return firstNotFinite(stores.flatMap { TensorPiece.pieces(of: $0, trainer.model.layout) })
      == nil
  }
}

// MARK: - What the log says at the start

extension TrainingRun {
  private func announce(_ inputs: RunInputs, threads: Int, _ precision: RunPrecision) {
    guard ranks.leads else { return }
    let count = trainer.model.layout.parameterCount
    let state = inputs.model.configuration.recurrentStateCount
    log.info("\(recipe.run.name): \(count) parameters, a recurrent state of \(state) numbers")
    let library = ranks.communicator.library.split(separator: ",").first ?? ""
    log.info(
      "\(ranks.size) rank\(ranks.size == 1 ? "" : "s") x \(threads) thread\(threads == 1 ? "" : "s"), \(precision.products); \(library); \(blasDescription())"
    )
    if let note = precision.note { say(note) }
  }

  private func announce(
    _ start: RunStart, _ inputs: RunInputs, _ environment: RunEnvironment
  ) {
    guard ranks.leads else { return }
    if let path = start.reader?.path {
      let restarts = ProcessInfo.processInfo.environment["SLURM_RESTART_COUNT"]
      log.info(
        "resuming after step \(start.step) from \(path)\(restarts.map { " (Slurm restart \($0))" } ?? "")"
      )
    } else if let expansion = inputs.model.expansion {
      log.info("state expansion:\n\(expansion)")
    }
    let notes = start.changes(recipe, environment) + start.notes(recipe, inputs.data.identity)
    for note in notes { say(note) }
  }

  private func say(_ note: RunNote) {
    switch note {
    case .information(let text): log.info("\(text)")
    case .warning(let text): log.warning("\(text)")
    }
  }
}
