import ChildPrograms
import Foundation

/// Runs that stop and go on, however often and on however many ranks.
enum ResumeMarks {
  static let all = [
    Mark(id: "F16", title: "a stop after every step (F17, F22)", run: everyStep),
    Mark(
      id: "F18", title: "all pairs of 1, 2, 3, 4 and 8 ranks with and without zero1 (F19)",
      run: pairs),
  ]

  private static let counts = [1, 2, 3, 4, 8]

  /// What is trained, and with what state at the end of a step.
  private static let configurations: [(name: String, settings: [String])] = [
    ("GLA, packed documents", ["data.reset_state_at_documents=true"]),
    ("Mamba2", [TrainingJob.mamba2]),
    ("GLA, states carried", ["train.state_passing=0.8"]),
    (
      "Mamba2, states carried, bf16 moments",
      [TrainingJob.mamba2, "train.state_passing=1", "train.optimizer.moments=bf16"]
    ),
  ]

  /// One run that ends after each step and goes on, on one to eight ranks in turn.
  @Sendable private static func everyStep(_ campaign: Campaign) throws -> Campaign.Outcome {
    let steps = campaign.count(40, short: 10)
    return campaign.trials("F16", configurations.count) { trial in
      let (name, settings) = configurations[trial.index]
      let specimen = try Specimen(settings, savedStep: 0, steps: steps) { job in
        guard trial.index % 2 == 0 else { return [] }
        let prefix = try job.writeTokens("text", count: 9000, vocabulary: 64)
        return ["data.sources=[{tokens: \(prefix)}, {task: mqar, pairs: 4, vocab: 64}]"]
      }
      let victim = try specimen.copy(for: trial)
      for step in 1...steps {
        let count = trial.pick(counts)
        let result = try victim.start(.ranks(count), ["train.steps=\(step)"]).wait()
        let rows = specimen.job.rows(victim.name)
        trial.check(
          "the same after a stop",
          result.code == 0 && rows == Array(specimen.reference.rows.prefix(step)),
          "\(name), step \(step) on \(count): \(result.stderr)")
      }
      trial.checkOutcome(of: victim)
    }
  }

  /// A way to run: ranks, and whether they divide the moments.
  private struct Way: CustomStringConvertible {
    let ranks: Int
    let divides: Bool

    var settings: [String] { ["parallel.optimizer_sharding=\(divides ? "zero1" : "none")"] }
    var description: String { "\(ranks)\(divides ? " zero1" : "")" }
  }

  @Sendable private static func pairs(_ campaign: Campaign) throws -> Campaign.Outcome {
    let ways = counts.flatMap { ranks in [false, true].map { Way(ranks: ranks, divides: $0) } }
    let specimen = try Specimen(["checkpoint.keep=1000"], on: .alone, savedStep: 0, steps: 6)
    let whole = Victim(specimen: specimen, name: Specimen.whole)
    for way in ways {
      let half = Victim(specimen: specimen, name: "half-\(way)")
      let result = try half.start(.ranks(way.ranks), way.settings + ["train.steps=3"]).wait()
      guard result.code == 0 else { throw CampaignError(description: "\(way): \(result.stderr)") }
    }
    let pairs = ways.flatMap { first in ways.map { (first, $0) } }.enumerated()
      .filter { !campaign.isShort || $0.offset % 9 == Int(campaign.seed % 9) }.map(\.element)
    return campaign.trials("F18", pairs.count) { trial in
      let (first, second) = pairs[trial.index]
      let victim = Victim(specimen: specimen, name: trial.name)
      try FileManager.default.copyItem(
        atPath: specimen.job.output("half-\(first)"), toPath: victim.path)
      let resumed = try victim.start(.ranks(second.ranks), second.settings).wait()
      trial.check(
        "resumed", resumed.code == 0 && resumed.stderr.contains("resuming after step 3"),
        "\(first) to \(second): \(resumed.stderr)")
      trial.checkOutcome(of: victim)
      let last = specimen.steps
      let moments = try specimen.statex(
        "checkpoint", "diff", victim.checkpoint(last), whole.checkpoint(last))
      trial.check(
        "moments too", moments.code == 0 && moments.stdout.contains(", 0 differ"), moments.stdout)
      if trial.passes { victim.remove() }
    }
  }
}
