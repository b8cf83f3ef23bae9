import ChildPrograms
import Foundation

/// Deaths during a save.
enum KillMarks {
  static let all = [
    Mark(id: "F1", title: "kill -9 of all ranks during a save", run: allRanks),
    Mark(id: "F1", title: "kill -9 of one rank during a save (F29: the job ends)", run: oneRank),
    Mark(
      id: "F3", title: "kill -9 of one rank, or of all, while a step is saved again", run: sameStep),
    Mark(id: "F21", title: "kill -9 of all ranks between checkpoints", run: betweenSaves),
  ]

  private static let ranks = TrainingJob.Launch.ranks(4)

  /// Ranks on which killed runs go on.
  private static let launches: [TrainingJob.Launch] = [.ranks(4), .alone, .ranks(2), .ranks(3)]

  @Sendable private static func allRanks(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(on: ranks)
    let duration = try specimen.secondsOfSave()
    return campaign.trials("F1", campaign.count(200, short: 12)) { trial in
      let (victim, process) = try trial.startSaving(specimen, within: 1.2 * duration)
      let before = victim.committed
      process.killAll(ranks)
      if victim.isSaving { trial.remark("inside a save") }
      try trial.checkRecovery(of: victim, committedBefore: before, on: trial.pick(launches))
    }
  }

  @Sendable private static func oneRank(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(on: ranks)
    let duration = try specimen.secondsOfSave()
    return campaign.trials("F1-one", campaign.count(200, short: 8)) { trial in
      let (victim, process) = try trial.startSaving(specimen, within: 1.2 * duration)
      let rank = trial.random.below(4)
      let before = victim.committed
      let target = trial.rank(rank, of: process, ranks)
      if let target { kill(target, SIGKILL) }
      let start = Date()
      let result = process.wait(limit: 60)
      let seconds = Date().timeIntervalSince(start)
      // A run that was at its very end may have had its last word already.
      if result.code != 0, let target {
        trial.check(
          "ended in 10 s", seconds < 10 * ChildProcess.patience && result.code > 0, "\(seconds) s")
        trial.check(
          "named the rank",
          result.errorLines.count == 1 && result.stderr.contains("(process \(target))"),
          "rank \(rank): \(result.stderr)")
      } else {
        trial.remark("after the run's end")
        trial.check("ended well", result.code == 0, "\(result.code) \(result.stderr)")
      }
      if victim.isSaving { trial.remark("inside a save") }
      try trial.checkRecovery(of: victim, committedBefore: before, on: trial.pick(launches))
    }
  }

  @Sendable private static func betweenSaves(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(["checkpoint.every=5"], on: ranks, savedStep: 5, steps: 23)
    return campaign.trials("F21", campaign.count(20, short: 3)) { trial in
      let victim = try specimen.copy(for: trial)
      let process = try victim.start(ranks)
      let steps = 1 + trial.random.below(15)
      process.wait { victim.rows >= 5 + steps }
      let before = victim.committed
      process.killAll(ranks)
      if victim.rows > (victim.committed.last ?? 0) { trial.remark("between checkpoints") }
      try trial.checkRecovery(of: victim, committedBefore: before, on: trial.pick(launches))
    }
  }

  /// In turn, one rank dies and all do.
  ///
  /// Checkpoints of later steps are put back into a run that is about to save them: the old ones were
  /// written by two ranks, the new ones are by four.
  @Sendable private static func sameStep(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(["checkpoint.keep=1000"], on: ranks)
    let duration = try specimen.secondsOfSave()
    let twin = try specimen.copy(named: "twin")
    let trained = try twin.start(.ranks(2)).wait()
    guard trained.code == 0 else { throw CampaignError(description: trained.stderr) }
    return campaign.trials("F3", campaign.count(50, short: 4)) { trial in
      let (victim, process, step) = try trial.startSavingAgain(specimen, over: twin)
      usleep(UInt32(trial.random.uniform() * 1.2 * duration * 1e6))
      if trial.index.isMultiple(of: 2) {
        if let target = trial.rank(of: process, ranks) { kill(target, SIGKILL) }
        _ = process.wait(limit: 60)
      } else {
        process.killAll(ranks)
      }
      if victim.isSaving { trial.remark("inside a save") }
      let verified = try victim.verify()
      trial.check("verified", verified.code == 0, verified.stdout + verified.stderr)
      let shards = try FileManager.default.contentsOfDirectory(atPath: victim.checkpoint(step))
        .count { $0.hasPrefix("shard-") }
      trial.check("old or new", [2, 4].contains(shards), "\(shards) shards")
      trial.remark(shards == 2 ? "old" : "new")
      let difference = try specimen.statex(
        "checkpoint", "diff", victim.checkpoint(step), twin.checkpoint(step))
      trial.check(
        "of the same bits", difference.stdout.contains(", 0 differ"), difference.stdout)
      let resumed = try victim.start(
        trial.pick(launches), ["--resume", victim.checkpoint(step)]
      ).wait()
      trial.check("resumed from it", resumed.code == 0, resumed.stderr)
      trial.checkOutcome(of: victim)
      if trial.passes { victim.remove() }
    }
  }
}

extension Trial {
  /// A run that has begun to save a step of which it has a checkpoint already.
  func startSavingAgain(
    _ specimen: Specimen, over twin: Victim
  ) throws -> (Victim, ChildProcess, step: Int) {
    let later = Array(5...specimen.steps)
    for attempt in 0..<5 {
      let victim = try specimen.copy(for: self, "-\(attempt)")
      let stage = victim.path + "/stage"
      try FileManager.default.createDirectory(atPath: stage, withIntermediateDirectories: true)
      for step in later {
        try FileManager.default.copyItem(
          atPath: twin.checkpoint(step), toPath: "\(stage)/\(step)")
      }
      let process = try victim.start(specimen.launch)
      let step = pick(later)
      if process.waitForSave(victim) {
        for step in later { rename("\(stage)/\(step)", victim.checkpoint(step)) }
        process.wait { victim.isSaving(step) }
        if !process.hasEnded { return (victim, process, step) }
      }
      process.end()
      victim.remove()
    }
    throw CampaignError(description: "the run ends before a step is saved again")
  }

  /// A run that is somewhere in a save, or has just finished it: a random moment within some seconds
  /// after a save has begun.
  func startSaving(_ specimen: Specimen, within seconds: Double) throws -> (Victim, ChildProcess) {
    for attempt in 0..<5 {
      let victim = try specimen.copy(for: self, "-\(attempt)")
      let process = try victim.start(specimen.launch)
      if process.waitForSave(victim, after: random.below(4)) {
        usleep(UInt32(random.uniform() * seconds * 1e6))
        if !process.hasEnded { return (victim, process) }
      }
      process.end()
      victim.remove()
    }
    throw CampaignError(description: "the run ends before a save is seen")
  }
}
