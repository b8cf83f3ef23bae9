import ChildPrograms
import Foundation

/// Files that are not what was written.
enum DamageMarks {
  static let all = [
    Mark(id: "F10", title: "one flipped bit in a file") { campaign in
      try marks("F10", campaign, count: campaign.count(200, short: 48)) { _ in .flip }
    },
    Mark(id: "F11", title: "a file cut short, a page zeroed or swapped") { campaign in
      try marks("F11", campaign, count: campaign.count(100, short: 24)) { index in
        // Twice as many cuts as pages.
        index % 2 == 0 ? .truncate : index % 4 == 1 ? .zeroPage : .swapPage
      }
    },
  ]

  private static func marks(
    _ mark: String, _ campaign: Campaign, count: Int, _ damage: @Sendable (Int) -> Damage
  ) throws -> Campaign.Outcome {
    let specimen = try DamageSpecimen()
    return campaign.trials(mark, count) { trial in
      let kind = DamageSpecimen.Kind.allCases[trial.index % DamageSpecimen.Kind.allCases.count]
      try specimen.check(kind, damage(trial.index / DamageSpecimen.Kind.allCases.count), trial)
    }
  }
}

/// A run that reads tokens, with its exports, and how damage of each of its files has to show.
struct DamageSpecimen: Sendable {
  /// The kinds of files that numbers are read from.
  enum Kind: String, CaseIterable {
    case shardHeader = "shard headers"
    case shard = "shards"
    case manifest = "manifests"
    case weights = "exports"
    case weightShard = "shards of exports"
    case index = "indexes"
    case config = "configurations"
    case tokens = "token files"
    case tokenIndex = "token indexes"
  }

  private let run: Specimen
  /// An export in one file, and one in several.
  private let single: String
  private let sharded: String

  private static let launch = TrainingJob.Launch.ranks(4)

  init() throws {
    run = try Specimen(
      ["checkpoint.keep=3", "model.config.hidden_size=64"], on: Self.launch, savedStep: 4,
      source: { job in
        ["data.sources=[{tokens: \(try job.writeTokens("text", count: 12_000, vocabulary: 64))}]"]
      })
    single = run.job.output(Specimen.whole) + "/export"
    sharded = run.job.output("sharded")
    let result = try run.statex(
      "convert", "--model", single, "--output", sharded, "--max-shard-size", "100kB")
    guard result.code == 0 else { throw CampaignError(description: result.stderr) }
  }

  /// Damages a file of a kind in copies, and checks that every program that reads it says so.
  func check(_ kind: Kind, _ damage: Damage, _ trial: Trial) throws {
    trial.remark(kind.rawValue)
    switch kind {
    case .shardHeader, .shard, .manifest: try checkCheckpoint(kind, damage, trial)
    case .weights: try checkExport(single, "model.safetensors", damage, trial)
    case .config: try checkExport(single, "config.json", damage, trial)
    case .index: try checkExport(sharded, "model.safetensors.index.json", damage, trial)
    case .weightShard:
      let names = try FileManager.default.contentsOfDirectory(atPath: sharded).sorted()
      let shards = names.filter { $0.hasSuffix(".safetensors") }
      try checkExport(sharded, trial.pick(shards), damage, trial)
    case .tokens: try checkTokens(".bin", damage, trial)
    case .tokenIndex: try checkTokens(".idx", damage, trial)
    }
  }

  /// A checkpoint of the run's newest two: `verify` names the file, and the run goes on from the newest
  /// good one.
  private func checkCheckpoint(_ kind: Kind, _ damage: Damage, _ trial: Trial) throws {
    let victim = try run.copy(for: trial)
    let step = trial.pick([3, 4])
    let directory = victim.checkpoint(step)
    let shard = "shard-0000\(trial.random.below(4))-of-00004.safetensors.zst"
    let name = kind == .manifest ? "manifest.json" : shard
    let path = directory + "/" + name
    let done = try damage.hurt(
      path, bytes: kind == .shardHeader ? 0..<200 : nil,
      other: victim.checkpoint(2) + "/" + name, trial)
    let verified = try victim.verify()
    trial.check(
      "detected", verified.code == 65 && (verified.stdout + verified.stderr).contains(path),
      "\(done): \(verified.stdout)\(verified.stderr)")
    let resumed = try victim.start(trial.pick([.alone, .ranks(2)])).wait()
    let isNewest = step == 4
    trial.check(
      "resumed from the newest good step",
      resumed.code == 0 && resumed.stderr.contains("resuming after step \(isNewest ? 3 : 4)")
        && resumed.stderr.contains("skipping a damaged checkpoint") == isNewest
        && resumed.stderr.contains(path) == isNewest,
      "\(done): \(resumed.stderr)")
    trial.checkOutcome(of: victim)
    if trial.passes { victim.remove() }
  }

  /// A model directory: what reads it names the file.
  private func checkExport(
    _ model: String, _ name: String, _ damage: Damage, _ trial: Trial
  ) throws {
    let copy = run.job.output(trial.name)
    try FileManager.default.copyItem(atPath: model, toPath: copy)
    // Pages come from the same file of a model of another step.
    let other = run.job.output(trial.name + "-other")
    if case .swapPage = damage {
      var numbers = try Data(contentsOf: URL(fileURLWithPath: model + "/" + name))
      for byte in numbers.indices { numbers[byte] ^= 1 }
      try numbers.write(to: URL(fileURLWithPath: other))
    }
    let done = try damage.hurt(copy + "/" + name, other: other, trial)
    let result = try run.statex("convert", "--model", copy, "--output", copy + "-out")
    let warnings = result.stderr.split(separator: "\n").filter { $0.hasPrefix("warning: ") }
    // A configuration may be edited: it is told, not refused.
    let isWarned = name == "config.json" && warnings.contains { $0.contains(name) }
    trial.check(
      "detected",
      isWarned || result.code == 65 && result.errorLines.first?.contains(name) == true,
      "\(done): \(result.code) \(result.stdout)\(result.stderr)")
    if trial.passes {
      for path in [copy, other, copy + "-out"] { try? FileManager.default.removeItem(atPath: path) }
    }
  }

  /// The tokens of a run: it does not go on with others.
  private func checkTokens(_ suffix: String, _ damage: Damage, _ trial: Trial) throws {
    let victim = try run.copy(for: trial)
    let text = run.job.output("text")
    let prefix = run.job.output(trial.name + "-text")
    for suffix in [".bin", ".idx"] {
      try FileManager.default.copyItem(atPath: text + suffix, toPath: prefix + suffix)
    }
    let other = prefix + "-other"
    var numbers = try Data(contentsOf: URL(fileURLWithPath: text + suffix))
    for byte in numbers.indices { numbers[byte] ^= 1 }
    try numbers.write(to: URL(fileURLWithPath: other))
    let done = try damage.hurt(prefix + suffix, other: other, trial)
    let resumed = try victim.start(.alone, ["data.sources=[{tokens: \(prefix)}]"]).wait()
    let line = resumed.errorLines.first ?? ""
    trial.check(
      "detected", [64, 65].contains(resumed.code) && line.contains(prefix),
      "\(done): \(resumed.code) \(resumed.stderr)")
    if trial.passes {
      victim.remove()
      for path in [prefix + ".bin", prefix + ".idx", other] {
        try? FileManager.default.removeItem(atPath: path)
      }
    }
  }
}
