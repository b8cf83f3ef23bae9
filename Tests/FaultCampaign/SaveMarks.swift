import ChildPrograms
import Foundation

/// What saves write, and who may write.
enum SaveMarks {
  static let all = [
    Mark(id: "F8", title: "saved beside training or in line: the same bytes", run: sameBytes),
    Mark(id: "F9", title: "a second job on a run directory", run: secondJob),
  ]

  /// The same run twice from its second step on, every step saved.
  @Sendable private static func sameBytes(_ campaign: Campaign) throws -> Campaign.Outcome {
    let steps = campaign.count(52, short: 12)
    let specimen = try Specimen(
      ["checkpoint.keep=1000", "train.state_passing=0.5"], on: .ranks(3), steps: steps)
    let runs = try [true, false].map { isAsynchronous in
      let victim = try specimen.copy(named: "asynchronous-\(isAsynchronous)")
      let result = try victim.start(
        specimen.launch, ["checkpoint.asynchronous=\(isAsynchronous)"]
      ).wait()
      guard result.code == 0 else { throw CampaignError(description: result.stderr) }
      return victim
    }
    return campaign.trials("F8", steps - 2) { trial in
      for shard in 0..<3 {
        let name = "/shard-0000\(shard)-of-00003.safetensors.zst"
        let files = runs.map { run in
          FileManager.default.contents(atPath: run.checkpoint(trial.index + 3) + name)
        }
        trial.check(
          "shards of the same bytes", files[0] != nil && files[0] == files[1],
          "step \(trial.index + 3), shard \(shard)")
      }
    }
  }

  @Sendable private static func secondJob(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(on: .ranks(2), steps: 120)
    return campaign.trials("F9", campaign.count(10, short: 2)) { trial in
      let victim = try specimen.copy(for: trial)
      let first = try victim.start(.ranks(2))
      let row = 3 + trial.random.below(20)
      first.wait { victim.rows >= row }
      let second = try victim.start(trial.pick([.alone, .ranks(2)])).wait()
      let ranks = first.ranks(.ranks(2))
      let line = second.errorLines.first ?? ""
      trial.check(
        "refused, naming the first",
        second.code == 64 && ranks.contains { line.contains("\($0)") },
        "\(second.code) \(second.stderr)")
      let result = first.wait()
      trial.check("first not disturbed", result.code == 0, result.stderr)
      trial.checkOutcome(of: victim)
      if trial.passes { victim.remove() }
    }
  }
}
