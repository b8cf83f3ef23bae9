import Checkpointing
import Foundation
import Logging

/// The checkpoints of a run: when they are saved, beside which training, and what happens when that fails.
///
/// Every rank has one and calls the same methods in the same order. What depends on time is decided by the
/// lead rank.
final class RunSaves {
  /// What training paid for saving since it was asked last.
  struct Costs {
    /// Seconds that this rank waited.
    var seconds = 0.0
    /// Saves that failed in a row, until now.
    var failures = 0
  }

  /// What the run does around a save.
  struct Hooks {
    /// Makes sure that what the ranks hold after a step is sound; collective.
    var verify: (_ step: Int) throws -> Void
    /// What is saved after a step; collective.
    var contents: (_ step: Int) throws -> CheckpointContents
    /// Makes what was logged so far durable; on all ranks, where it does something on the lead only.
    var synchronize: () throws -> Void
    /// Called on the lead when a step is safe.
    var committed: (_ step: Int) -> Void
    /// Bytes that may be taken for a copy.
    var spareMemory: () -> Int
  }

  private let recipe: Recipe.Checkpoint
  private let writer: CheckpointWriter
  private let ranks: Ranks
  private let log: Logger
  private let hooks: Hooks

  /// The step saved last; -1 for none.
  private(set) var savedStep: Int
  private var pending: PendingSave?
  private var pendingSince = 0.0
  private var lastBegin = RunClock.seconds
  private var retryAt = 0.0
  private var waited = 0.0
  private var failures = 0

  /// Seconds that the longest save took until its step was safe; what a stop has to allow for.
  private(set) var longestSave = 0.0

  /// Saves with `writer`, after `savedStep`.
  init(
    _ recipe: Recipe.Checkpoint, writer: CheckpointWriter, savedStep: Int, ranks: Ranks,
    log: Logger, hooks: Hooks
  ) {
    self.recipe = recipe
    self.writer = writer
    self.savedStep = savedStep
    self.ranks = ranks
    self.log = log
    self.hooks = hooks
    if savedStep > 0 { ranks.activity.hasSaved(savedStep) }
  }

  /// What training paid since this was asked last.
  func takeCosts() -> Costs {
    defer { waited = 0 }
    return Costs(seconds: waited, failures: failures)
  }

  // MARK: While training goes on

  /// Between two steps: makes a save that is written a checkpoint, and begins one when it is due;
  /// collective.
  ///
  /// - Parameter step: steps done.
  /// - Throws: `CheckpointError` where the run is to end when saving fails; `AgreedError`,
  ///   `CollectiveError`.
  func tend(after step: Int) throws {
    try measured {
      if let pending, try ranks.communicator.maximum(pending.isWritten ? 0 : 1) == 0 {
        try orGoOn(pending.step) { try commit(at: step) }
      }
      guard try isDue(after: step) else { return }
      if let pending {
        let start = RunClock.seconds
        try orGoOn(pending.step) { try commit(at: step) }
        let waited = RunClock.seconds - start
        if ranks.leads, waited > 1 {
          log.warning(
            "training waited \(seconds(waited)) for the previous checkpoint: saving takes longer than checkpoint.every or checkpoint.interval allows"
          )
        }
      }
      try orGoOn(step) {
        try begin(step, inBackground: recipe.isAsynchronous)
        if !recipe.isAsynchronous { try commit(at: step) }
      }
    }
  }

  /// Before parameters or moments change.
  func valuesWillChange() {
    guard let pending else { return }
    let start = RunClock.seconds
    pending.detach(copyingAtMost: hooks.spareMemory())
    waited += RunClock.seconds - start
  }

  /// Whether a checkpoint is due after a step; collective where time decides.
  private func isDue(after step: Int) throws -> Bool {
    if recipe.every > 0 && step.isMultiple(of: recipe.every) { return true }
    guard recipe.interval != nil || failures > 0 else { return false }
    let now = RunClock.seconds
    let isLate = recipe.interval.map { now - lastBegin >= Double($0.seconds) } ?? false
    let isRetry = failures > 0 && pending == nil && now >= retryAt
    return try ranks.communicator.maximum(ranks.leads && (isLate || isRetry) ? 1 : 0) == 1
  }

  // MARK: Before the run ends

  /// Returns when a step is saved; collective.
  ///
  /// - Parameters:
  ///   - step: steps done.
  ///   - leaving: whether the run ends with an error: then no older checkpoint is removed, metrics that
  ///     cannot be written stop nothing, and nothing is tried twice.
  /// - Throws: `CheckpointError`, `AgreedError`, `CollectiveError`.
  func finish(_ step: Int, leaving: Bool) throws {
    try settle(at: step)
    guard savedStep != step else { return }
    if leaving { writer.retention.newest += 1 }
    defer { if leaving { writer.retention.newest -= 1 } }
    var pauses = leaving || recipe.onFailure == .stop ? [] : Self.lastPauses
    while true {
      do {
        try begin(step, inBackground: false, synchronizing: !leaving)
        return try commit(at: step)
      } catch  where Self.isFailedSave(error) && !pauses.isEmpty {
        let pause = pauses.removeFirst()
        note(error, step, next: "retrying in \(seconds(pause))")
        Thread.sleep(forTimeInterval: pause)
      }
    }
  }

  /// Seconds between attempts to save a run's last step.
  private static let lastPauses = [0.5, 2.0]

  /// Ends the save under way, if there is one; one that fails is only told of.
  ///
  /// - Parameter step: steps done.
  /// - Throws: `TrainingError.diverged`, `CollectiveError`.
  func settle(at step: Int) throws {
    guard let pending else { return }
    do {
      try commit(at: step)
    } catch  where Self.isFailedSave(error) {
      note(error, pending.step, next: "saving the current step instead")
    }
  }

  /// The step of the save under way; nil if there is none.
  var pendingStep: Int? { pending?.step }

  /// Takes note that the run goes on from an older checkpoint of its own.
  func wentBack(to step: Int) { savedStep = step }

  /// Gives up the save under way, if there is one; collective.
  ///
  /// - Throws: `CheckpointError`.
  func abandon() throws {
    guard let save = pending else { return }
    pending = nil
    try save.abandon()
  }

  // MARK: One save

  private func begin(_ step: Int, inBackground: Bool, synchronizing: Bool = true) throws {
    lastBegin = RunClock.seconds
    pendingSince = lastBegin
    try hooks.verify(step)
    if synchronizing { try hooks.synchronize() }
    pending = try writer.begin(
      hooks.contents(step), coordination: RankCoordination(communicator: ranks.communicator),
      inBackground: inBackground)
  }

  /// Makes the save under way a checkpoint, unless what it was read from is damaged after `step` steps.
  private func commit(at step: Int) throws {
    guard let save = pending else { return }
    try hooks.verify(step)
    pending = nil
    let report = try save.finish()
    savedStep = save.step
    ranks.activity.hasSaved(savedStep)
    failures = 0
    let took = RunClock.seconds - pendingSince
    longestSave = max(longestSave, took)
    guard ranks.leads else { return }
    hooks.committed(save.step)
    for warning in report.warnings { log.warning("\(warning)") }
    log.info("saved \(report.path)")
  }

  /// Whether an error says that a step could not be saved, on all ranks, and nothing else is wrong.
  private static func isFailedSave(_ error: any Error) -> Bool {
    switch error {
    case CheckpointError.notSaved: true
    case let error as AgreedError: error.exitCode == 74
    default: false
    }
  }

  /// Runs a part of a save; when it fails and the recipe says so, training goes on.
  private func orGoOn(_ step: Int, _ body: () throws -> Void) throws {
    do {
      try body()
    } catch  where recipe.onFailure == .continue && Self.isFailedSave(error) {
      let pause = min(30.0 * Double(1 << min(failures, 5)), 600)
      retryAt = RunClock.seconds + pause
      note(
        error, step,
        next: "training continues; the next attempt is in \(seconds(pause)) at the latest")
    }
  }

  private func note(_ error: any Error, _ step: Int, next: String) {
    failures += 1
    guard ranks.leads else { return }
    let last = savedStep > 0 ? "the last checkpoint is step \(savedStep)" : "there is no checkpoint"
    let text = error is CheckpointError ? "\(error)" : "step \(step) was not saved: \(error)"
    log.warning("\(text); \(last); \(next)")
  }

  private func measured<Value>(_ body: () throws -> Value) rethrows -> Value {
    let start = RunClock.seconds
    defer { waited += RunClock.seconds - start }
    return try body()
  }

  private func seconds(_ value: Double) -> String { String(format: "%.1f s", value) }
}

/// Seconds that go by, whatever the clock on the wall does.
enum RunClock {
  /// Seconds since some moment.
  static var seconds: Double { Double(DispatchTime.now().uptimeNanoseconds) * 1e-9 }
}
