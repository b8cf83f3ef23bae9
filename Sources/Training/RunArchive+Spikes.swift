import Checkpointing
import Files

// What a run does about spikes. All ranks see the same loss and norm, so they decide the same.

extension RunArchive {
  /// The file in the run directory with a row for every spike; it only grows.
  static let spikesFile = "spikes.jsonl"

  /// Writes a spike down and does what the recipe says; collective.
  ///
  /// - Returns: the steps that are done now: the spike's, or fewer after going back.
  /// - Throws: `TrainingError.spike` when the run is to end; `AgreedError`, `CheckpointError`,
  ///   `CollectiveError`.
  func answer(_ spike: Spike) throws -> Int {
    let plan = recipe.train.onSpike
    write(spike)
    let before = trainer.spikes.spikes(upTo: spike.step, window: plan.window)
    guard plan.policy != .stop else {
      throw TrainingError.spike(step: spike.step, what: spike.what)
    }
    guard before < plan.limit else {
      throw TrainingError.spike(
        step: spike.step,
        what:
          "\(spike.what), after \(before) spikes within \(plan.window) steps (train.on_spike.limit)"
      )
    }
    guard plan.policy == .rollBack else {
      trainer.spikes.skip(spike.step)
      if ranks.leads { log.warning("step \(spike.step): \(spike.what); its update is left out") }
      return spike.step
    }
    return try goBack(from: spike)
  }

  private func write(_ spike: Spike) {
    guard ranks.leads else { return }
    let path = recipe.run.output + "/" + Self.spikesFile
    let row = spike.row(
      recipe.train.onSpike.policy, batch: trainer.spikes.batch(ofStep: spike.step),
      samples: trainer.origins(ofStep: spike.step))
    do throws(FileError) {
      var file = try AppendedFile(path: path)
      try file.append(Array((row + "\n").utf8))
    } catch {
      log.warning("\(error); the spike of step \(spike.step) is not in it")
    }
  }

  private func goBack(from spike: Spike) throws -> Int {
    let (output, target) = (recipe.run.output, spike.step - recipe.train.onSpike.stepsBack)
    // A save under way may be one to go back to, or one that the spike began to spoil.
    if let pending = saves.pendingStep, pending > target {
      try saves.abandon()
    } else {
      try saves.settle(at: spike.step - 1)
    }
    let found = try ranks.agree {
      guard ranks.leads else { return "" }
      let selection = try CheckpointCatalog.latestValid(in: output, notAfter: target)
      for checkpoint in selection.rejected {
        log.warning("skipping a damaged checkpoint: \(checkpoint)")
      }
      return selection.reader?.path ?? ""
    }
    let path = try ranks.fromLead(found)
    guard !path.isEmpty else {
      throw TrainingError.spike(
        step: spike.step,
        what: "\(spike.what), and there is no checkpoint to go back to that is "
          + "\(spike.step - target) steps older (train.on_spike.steps_back)")
    }
    let step = try trainer.goBack(from: spike.step, to: path) { step in
      try ranks.agree { try forget(after: step) }
    }
    isVerified = false
    saves.wentBack(to: step)
    guard ranks.leads else { return step }
    tell { $0.savedStep = step }
    log.warning(
      "step \(spike.step): \(spike.what); going back to \(path), without the batches of steps \(step + 1) to \(spike.step)"
    )
    return step
  }

  /// Keeps what came after a step aside, as a restart from there does; on the lead.
  private func forget(after step: Int) throws {
    guard ranks.leads else { return }
    let aside = try CheckpointCatalog.setAside(newerThan: step, in: recipe.run.output)
    if !aside.isEmpty {
      log.notice("newer checkpoints are kept as \(aside.joined(separator: ", "))")
    }
    try metrics?.synchronize()
    metrics = nil
    try inputs.evaluation.forget(after: step)
    metrics = try RunMetrics(recipe, resumingAfter: step)
  }
}
