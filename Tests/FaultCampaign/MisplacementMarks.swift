import ChildPrograms
import Foundation

/// Good files in wrong places, and several bad ones at once.
enum MisplacementMarks {
  static let all = [
    Mark(id: "F12", title: "shards and checkpoints in wrong places", run: misplaced),
    Mark(id: "F13", title: "verify lists every bad file in one pass", run: onePass),
  ]

  /// What is put where.
  private enum Case: CaseIterable {
    case missingShard
    case extraShard
    case swappedShards
    case shardOfAnotherStep
    case shardOfAnotherRun
    case missingManifest
    case manifestOfAnotherStep
    case renamedStep
    case checkpointOfAnotherRun
  }

  private static func shard(_ index: Int) -> String {
    "/shard-0000\(index)-of-00004.safetensors.zst"
  }

  @Sendable private static func misplaced(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(["checkpoint.keep=9"], savedStep: 4)
    let other = try Specimen(["checkpoint.keep=9", "run.seed=3"], savedStep: 4)
    return campaign.trials("F12", Case.allCases.count) { trial in
      let victim = try specimen.copy(for: trial)
      let foreign = Victim(specimen: other, name: Specimen.whole)
      let newest = victim.checkpoint(4)
      let one = trial.random.below(4)
      let named: String
      switch Case.allCases[trial.index] {
      case .missingShard:
        named = newest + shard(one)
        try FileManager.default.removeItem(atPath: named)
      case .extraShard:
        named = newest + "/shard-00001-of-00002.safetensors.zst"
        try FileManager.default.copyItem(atPath: newest + shard(one), toPath: named)
      case .swappedShards:
        named = newest + shard(one)
        try swap(named, newest + shard((one + 1) % 4))
      case .shardOfAnotherStep:
        named = newest + shard(one)
        try replace(named, with: victim.checkpoint(3) + shard(one))
      case .shardOfAnotherRun:
        named = newest + shard(one)
        try replace(named, with: foreign.checkpoint(4) + shard(one))
      case .missingManifest:
        named = newest + "/manifest.json"
        try FileManager.default.removeItem(atPath: named)
      case .manifestOfAnotherStep:
        named = newest + "/manifest.json"
        try replace(named, with: victim.checkpoint(3) + "/manifest.json")
      case .renamedStep:
        named = newest
        try replace(newest, with: victim.checkpoint(3))
      case .checkpointOfAnotherRun:
        named = newest
        try replace(newest, with: foreign.checkpoint(4))
      }
      let verified = try victim.verify()
      let isForeign = Case.allCases[trial.index] == .checkpointOfAnotherRun
      // Another run's checkpoint is good in itself: a run is what refuses it.
      trial.check(
        "detected",
        isForeign || verified.code == 65 && (verified.stdout + verified.stderr).contains(named),
        "\(Case.allCases[trial.index]): \(verified.stdout)\(verified.stderr)")
      let resumed = try victim.start(.ranks(2)).wait()
      if isForeign {
        trial.check(
          "refused", resumed.code == 64 && resumed.errorLines.first?.contains(named) == true,
          resumed.stderr)
      } else {
        trial.check(
          "fell back and said so",
          resumed.code == 0 && resumed.stderr.contains("resuming after step 3")
            && resumed.stderr.contains("skipping a damaged checkpoint"), resumed.stderr)
        trial.checkOutcome(of: victim)
      }
    }
  }

  private static func replace(_ path: String, with other: String) throws {
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.copyItem(atPath: other, toPath: path)
  }

  private static func swap(_ one: String, _ two: String) throws {
    try FileManager.default.moveItem(atPath: one, toPath: one + "-moved")
    try FileManager.default.moveItem(atPath: two, toPath: one)
    try FileManager.default.moveItem(atPath: one + "-moved", toPath: two)
  }

  /// Four files of two checkpoints.
  @Sendable private static func onePass(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(["checkpoint.keep=9"], savedStep: 4)
    return campaign.trials("F13", campaign.count(10, short: 3)) { trial in
      let victim = try specimen.copy(for: trial)
      var paths = [victim.checkpoint(2) + "/manifest.json"]
      paths += (0..<4).filter { _ in trial.random.below(2) == 0 }
        .map { victim.checkpoint(3) + shard($0) }
      paths.append(victim.checkpoint(4) + shard(trial.random.below(4)))
      for path in paths { _ = try Damage.flip.hurt(path, other: nil, trial) }
      let verified = try victim.verify()
      let text = verified.stdout + verified.stderr
      trial.check("ended with 65", verified.code == 65, text)
      for path in paths { trial.check("files named", text.contains(path), "\(path): \(text)") }
      trial.check("good ones called good", text.contains(victim.checkpoint(1) + ": good"), text)
      if trial.passes { victim.remove() }
    }
  }
}
