import Foundation
import TrainingMetrics

/// The metrics files of a run, written by the lead rank.
final class RunMetrics {
  private var log: MetricsLog
  private var board: TensorBoardWriter?
  private var throughput = Throughput(window: 20)
  private let every: Int
  /// Whether rows may wait in memory while they cannot be written.
  private let mayWait: Bool
  private var unwritten: [MetricsRow] = []
  private var unshown: [MetricsRow] = []

  /// The last row, for a person.
  private(set) var line = ""
  /// What keeps rows from being written; nil when all are.
  private(set) var problem: String?

  /// What a user should know about the rows that were there.
  let warnings: [String]

  /// Opens the files and drops rows of steps after `step`.
  init(_ recipe: Recipe, resumingAfter step: Int) throws {
    log = try MetricsLog(path: recipe.run.output + "/metrics.jsonl", resumingAfter: step)
    warnings =
      log.zeroedPlaces == 0
      ? []
      : [
        "\(log.path) had zeros in \(log.zeroedPlaces) places, as a crash of the machine leaves; rows may be missing there"
      ]
    if recipe.metrics.tensorboard {
      board = try TensorBoardWriter(
        directory: recipe.run.output + "/tensorboard", resumingAfter: step)
    }
    every = recipe.metrics.logEvery
    mayWait = recipe.checkpoint.onFailure == .continue
  }

  /// Adds a step; writes it when it is one that is logged, with what each source of a mixture gave.
  ///
  /// - Throws: `MetricsError` when it cannot be written, and the recipe says that a run ends that cannot
  ///   save; otherwise it waits in memory, and `problem` says so.
  func record(
    step: Int, _ result: Trainer.StepResult, sources: [SourceTotal], seconds: Double,
    tokensPerStep: Int, saving: RunSaves.Costs = .init()
  ) throws {
    throughput.record(tokens: tokensPerStep, seconds: seconds)
    guard step == 1 || step.isMultiple(of: every) || result.spike != nil else { return }
    var extras = [
      (name: "data_wait_seconds", value: result.reading),
      (name: "exchange_seconds", value: result.exchange.exposed),
      (name: "overlapped_seconds", value: result.exchange.overlapped),
    ]
    if let seconds = result.sequenceExchange {
      extras.append((name: "sequence_exchange_seconds", value: seconds))
    }
    if result.spike != nil { extras.append((name: "skipped", value: 1)) }
    if let seconds = result.verification {
      extras.append((name: "verify_seconds", value: seconds))
    }
    if saving.seconds > 0 { extras.append((name: "save_seconds", value: saving.seconds)) }
    if saving.failures > 0 {
      extras.append((name: "failed_saves", value: Double(saving.failures)))
    }
    for source in sources {
      if let loss = source.loss { extras.append((name: "loss.\(source.name)", value: loss)) }
      extras.append((name: "loss_share.\(source.name)", value: source.lossShare))
      extras.append((name: "target_share.\(source.name)", value: source.targetShare))
    }
    let row = MetricsRow(
      step: step, loss: result.loss, gradientNorm: result.gradientNorm,
      learningRate: result.learningRate, tokens: step * tokensPerStep,
      tokensPerSecond: throughput.tokensPerSecond, seconds: seconds,
      extras: extras)
    unwritten.append(row)
    if board != nil { unshown.append(row) }
    do {
      try write()
      problem = nil
    } catch  where mayWait && unwritten.count < Self.mostWaiting {
      problem = "\(error)"
    }
    line = String(
      format: "step %d  loss %.4f  grad_norm %.3f  lr %.2e  %.0f tokens/s", step, result.loss,
      result.gradientNorm, result.learningRate, throughput.tokensPerSecond)
    if result.exchange.exposed > 0.0005 {
      line += String(format: "  exchange %.3f s", result.exchange.exposed)
    }
    if result.reading > 0.1 { line += String(format: "  data %.1f s", result.reading) }
    if saving.failures > 0 { line += "  NOT SAVED (\(saving.failures) failed)" }
  }

  /// Shows what was measured after a step on TensorBoard.
  func show(_ scalars: [(name: String, value: Double)], step: Int) throws {
    try board?.append(scalars, step: step)
  }

  private static let mostWaiting = 1_000_000

  /// Writes the rows that wait, in their order.
  private func write() throws {
    while let row = unwritten.first {
      try log.append(row)
      unwritten.removeFirst()
    }
    while let row = unshown.first {
      try board?.append(row)
      unshown.removeFirst()
    }
  }

  /// Returns once every row is on the disk.
  func synchronize() throws {
    try write()
    try log.synchronize()
    try board?.synchronize()
  }
}
