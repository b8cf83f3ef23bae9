import ChildPrograms
import Foundation

/// Disks that are full, and checkpoints on their way out.
enum DiskMarks {
  static let all = [
    Mark(id: "F5", title: "a disk that is full after so many bytes", run: fullDisk),
    Mark(id: "F7", title: "kill -9 while the only older checkpoint is removed", run: deletion),
  ]

  private static let launch = TrainingJob.Launch.ranks(2)

  /// Runs a command of the system.
  private static func system(_ words: String...) throws -> ChildProcess.Result {
    try ChildProcess(words, directory: NSTemporaryDirectory()).wait()
  }

  private static func mount(_ path: String, _ options: String) throws -> ChildProcess.Result {
    try system("mount", "-t", "tmpfs", "-o", options, "tmpfs", path)
  }

  /// Every file of the run fits, then only so many bytes more.
  @Sendable private static func fullDisk(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(["metrics.tensorboard=false"], on: launch)
    let probe = specimen.job.output("probe")
    try FileManager.default.createDirectory(atPath: probe, withIntermediateDirectories: true)
    guard try mount(probe, "size=1m").code == 0 else {
      return .skipped("no tmpfs may be mounted here (root is needed)")
    }
    _ = try system("umount", probe)
    return campaign.trials("F5", campaign.count(50, short: 4)) { trial in
      let victim = Victim(specimen: specimen, name: trial.name)
      try FileManager.default.createDirectory(
        atPath: victim.path, withIntermediateDirectories: true)
      guard try mount(victim.path, "size=64m").code == 0 else {
        throw CampaignError(description: "mount fails")
      }
      defer {
        _ = try? system("umount", "-l", victim.path)
        victim.remove()
      }
      let copied = try system("cp", "-a", specimen.basePath + "/.", victim.path)
      guard copied.code == 0 else { throw CampaignError(description: copied.stderr) }
      let used = try system("du", "-sk", victim.path).stdout.split(separator: "\t").first
      // Up to what three saves and the export need.
      let free = 4 * trial.random.below(campaign.isShort ? 200 : 400)
      let size = (used.flatMap { Int($0) } ?? 0) + free
      guard try mount(victim.path, "remount,size=\(size)k").code == 0 else {
        throw CampaignError(description: "remount fails")
      }
      let policy = trial.pick(["continue", "stop"])
      let full = try victim.start(launch, ["checkpoint.on_failure=\(policy)"]).wait()
      trial.remark(full.code == 0 ? "fitted" : "with \(policy)")
      trial.check("ended with 0 or 74", [0, 74].contains(full.code), "\(free) kB: \(full.stderr)")
      if full.code != 0 {
        let text = full.errorLines.joined()
        trial.check(
          "named path and cause",
          full.errorLines.count == 1 && text.contains("No space left on device")
            && text.contains(victim.path), "\(free) kB: \(full.stderr)")
      }
      guard try mount(victim.path, "remount,size=64m").code == 0 else {
        throw CampaignError(description: "remount fails")
      }
      try trial.checkRecovery(of: victim, committedBefore: [2], on: trial.pick([.alone, launch]))
    }
  }

  /// Kills while a checkpoint is removed; strace makes every call that removes something take milliseconds, so
  /// that the kill finds it under way.
  @Sendable private static func deletion(_ campaign: Campaign) throws -> Campaign.Outcome {
    if let obstacle = Strace.obstacle() { return .skipped(obstacle) }
    let launch = TrainingJob.Launch.ranks(4)
    let specimen = try Specimen(["checkpoint.keep=1"], on: launch)
    let pause = 0.01
    return campaign.trials("F7", campaign.count(100, short: 6)) { trial in
      let (victim, process, step) = try trial.startRemoving(specimen, pause: pause)
      // A shard each, the manifest and the directory.
      usleep(UInt32(trial.random.uniform() * 6 * pause * 1e6))
      let before = victim.committed
      process.killAll(launch)
      if victim.isRemoving(step) { trial.remark("inside the removal") }
      try trial.checkRecovery(
        of: victim, committedBefore: before, on: trial.pick([.alone, launch]))
    }
  }
}

extension Trial {
  /// A run that has begun to remove the checkpoint of a step; each call takes `pause` seconds.
  func startRemoving(
    _ specimen: Specimen, pause: Double
  ) throws -> (Victim, ChildProcess, step: Int) {
    let calls = "?unlink,unlinkat,?rmdir"
    let options = ["-e", "trace=\(calls)", "-e", "inject=\(calls):delay_enter=\(Int(pause * 1e6))"]
    for attempt in 0..<5 {
      let victim = try specimen.copy(for: self, "-\(attempt)")
      let process = try victim.start(
        specimen.launch, under: Strace.wrapper(rank: 0, options, log: "/dev/null"))
      let step = 2 + random.below(4)
      process.wait { victim.isRemoving(step) }
      if !process.hasEnded { return (victim, process, step) }
      victim.remove()
    }
    throw CampaignError(description: "no removal is seen")
  }
}

extension Victim {
  /// Whether the checkpoint of a step is being removed.
  func isRemoving(_ step: Int) -> Bool {
    names.contains { $0.hasSuffix("0\(step).deleting") }
  }
}
