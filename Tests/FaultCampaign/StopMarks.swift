import ChildPrograms
import Foundation

/// Signals at every moment of a run.
enum StopMarks {
  static let all = [
    Mark(id: "F24", title: "a stop signal to one rank, in every phase (F25)", run: stops),
    Mark(id: "F26", title: "a second signal during the save", run: secondSignals),
    Mark(id: "F30", title: "SIGSTOP of one rank", run: silence),
  ]

  private static let ranks = TrainingJob.Launch.ranks(4)
  private static let signals = [SIGUSR1, SIGTERM, SIGINT, SIGUSR2, SIGHUP, SIGXCPU, SIGQUIT]

  /// Ranks on which stopped runs go on.
  private static let launches: [TrainingJob.Launch] = [.ranks(4), .alone, .ranks(2), .ranks(3)]

  /// Where a run is when it is asked to stop.
  enum Phase: String, CaseIterable {
    case start = "at the start"
    case firstStep = "in the first step"
    case step = "in a step"
    case save = "in a save"
    case evaluation = "in an evaluation"
    case lastSave = "in the last save"
    case export = "in the export"

    /// Waits for it; false when the run has ended before.
    func await(_ process: ChildProcess, _ victim: Victim, _ trial: Trial) -> Bool {
      let steps = victim.specimen.steps
      switch self {
      case .start:
        process.wait {
          let ranks = process.ranks(StopMarks.ranks)
          return ranks.count == 4 && ranks.allSatisfy { ChildProcess.catches(SIGTERM, $0) }
        }
        usleep(UInt32(trial.random.below(50_000)))
      case .firstStep:
        process.wait { FileManager.default.fileExists(atPath: victim.path + "/metrics.jsonl") }
        usleep(UInt32(trial.random.below(50_000)))
      case .step:
        let row = 1 + trial.random.below(steps - 2)
        process.wait { victim.rows >= row }
        usleep(UInt32(trial.random.below(100_000)))
      case .save: _ = process.waitForSave(victim, after: trial.random.below(3))
      case .evaluation:
        process.wait { victim.committed.contains(4) }
        usleep(UInt32(trial.random.below(100_000)))
      case .lastSave: process.wait { victim.isSaving(steps) }
      case .export:
        process.wait {
          let names = try? FileManager.default.contentsOfDirectory(atPath: victim.path)
          return names?.contains { $0.hasPrefix(".export.partial-") } == true
        }
      }
      return !process.hasEnded
    }
  }

  /// Steps of tenths of a second in segments of milliseconds, an evaluation, and no checkpoint to begin with.
  private static func slowSpecimen() throws -> Specimen {
    try Specimen(
      [
        "data.sequence_length=1024", "train.segment_length=64",
        "evaluation={every: 4, tasks: [{task: mqar, vocab: 64, samples: 400}]}",
      ], on: ranks, savedStep: 0)
  }

  @Sendable private static func stops(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try slowSpecimen()
    let whole = Victim(specimen: specimen, name: Specimen.whole)
    return campaign.trials("F24", campaign.count(56, short: 7)) { trial in
      let phase = Phase.allCases[trial.index % Phase.allCases.count]
      let victim = try specimen.copy(for: trial)
      let process = try victim.start(ranks)
      guard phase.await(process, victim, trial), let target = trial.rank(of: process, ranks) else {
        return trial.isTooLate(process, victim)
      }
      trial.remark(phase.rawValue)
      let signal = trial.pick(signals)
      let before = victim.committed
      kill(target, signal)
      let start = Date()
      let result = process.wait(limit: 60)
      let seconds = Date().timeIntervalSince(start)
      trial.check(
        "stopped within 5 s", seconds < 5 * ChildProcess.patience,
        "\(phase), signal \(signal): \(seconds) s")
      // The last save and the export may have been over.
      let isLate = result.code == 0 && victim.rows == specimen.steps
      trial.check(
        "ended with 75", result.code == 75 || isLate,
        "\(phase), signal \(signal): \(result.code) \(result.stderr)")
      trial.check(
        "saved the last step", victim.rows == (victim.committed.last ?? 0),
        "\(phase), signal \(signal): \(victim.rows) rows, \(victim.names)")
      try trial.checkRecovery(of: victim, committedBefore: before, on: trial.pick(launches)) {
        trial.check(
          "evaluated the same", victim.evaluations == whole.evaluations, "\(victim.evaluations)")
      }
    }
  }

  /// Another signal while the save that the first one asked for is under way: it completes, and only a second
  /// SIGINT ends the run at once.
  @Sendable private static func secondSignals(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(on: ranks)
    return campaign.trials("F26", campaign.count(20, short: 4)) { trial in
      let victim = try specimen.copy(for: trial)
      let process = try victim.start(ranks)
      let row = 3 + trial.random.below(3)
      process.wait { victim.rows >= row }
      let before = victim.committed
      let targets = process.ranks(ranks)
      let pair = trial.index % 2 == 0 ? [SIGUSR1, SIGTERM] : [SIGINT, SIGINT]
      for target in targets { kill(target, pair[0]) }
      process.wait { victim.isSaving }
      if victim.isSaving { trial.remark("inside a save") }
      for target in targets { ChildProcess.deliver(pair[1], to: target) }
      let result = process.wait(limit: 60)
      let codes: [Int32] = pair[0] == SIGINT ? [75, 0, 128 + SIGINT] : [75, 0]
      trial.check(
        "ended as documented", codes.contains(result.code),
        "\(pair): \(result.code) \(result.stderr)")
      try trial.checkRecovery(of: victim, committedBefore: before, on: trial.pick(launches))
    }
  }

  @Sendable private static func silence(_ campaign: Campaign) throws -> Campaign.Outcome {
    let silence = Int(2 * ChildProcess.patience)
    let specimen = try Specimen(["run.watchdog=\(silence)s"], on: ranks, steps: 60)
    return campaign.trials("F30", campaign.count(12, short: 2)) { trial in
      let victim = try specimen.copy(for: trial)
      let process = try victim.start(ranks)
      let row = 3 + trial.random.below(30)
      process.wait { victim.rows >= row }
      let rank = trial.random.below(4)
      guard let target = trial.rank(rank, of: process, ranks) else {
        return trial.isTooLate(process, victim)
      }
      let before = victim.committed
      kill(target, SIGSTOP)
      let start = Date()
      let result = process.wait(limit: 60)
      let seconds = Date().timeIntervalSince(start)
      trial.check(
        "ended in 10 s with 74", result.code == 74 && seconds < 10 * ChildProcess.patience,
        "\(seconds) s: \(result.code) \(result.stderr)")
      trial.check(
        "named the rank",
        result.errorLines.count == 1 && result.stderr.contains("rank \(rank) on "), result.stderr)
      try trial.checkRecovery(of: victim, committedBefore: before, on: trial.pick(launches))
    }
  }
}

extension Victim {
  /// The steps that were evaluated.
  var evaluations: [String] {
    let data = FileManager.default.contents(atPath: path + "/evaluation.jsonl") ?? Data()
    return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
  }
}
