import ChildPrograms
import Foundation

/// Faults at every file-system call of a save, one after the other.
enum CrashPointMarks {
  static let all = [
    Mark(id: "F2", title: "a crash at each file-system call of a save", run: crashes),
    Mark(id: "F4", title: "everything durable before its name appears", run: order),
    Mark(id: "F6", title: "EIO and ENOSPC in each file-system call of a save", run: errors),
  ]

  static let launch = TrainingJob.Launch.ranks(2)

  /// A save in line, which removes the checkpoint before it: all calls of a rank are one thread's, whose order
  /// is the same every time.
  static let settings = ["checkpoint.asynchronous=false", "checkpoint.keep=1"]

  /// A call of the save: the n-th of its name on a rank.
  struct Point: Sendable {
    let rank: Int
    let call: String
    let number: Int

    var text: String { "rank \(rank) \(call) \(number)" }
  }

  /// The calls of the save of step 3, from a trace of it.
  static func points(_ specimen: Specimen) throws -> [Point] {
    let victim = try specimen.copy(named: "traced")
    let log = victim.path + ".trace"
    let options = victim.traceOptions(saving: 3, removing: 2, ranks: 2)
    let result = try victim.start(
      launch, ["train.steps=3"], under: Strace.wrapper(rank: nil, options, log: log)
    ).wait()
    guard result.code == 0 else { throw CampaignError(description: result.stderr) }
    var points: [Point] = []
    for rank in 0..<2 {
      let counts = try Strace.read("\(log).\(rank)").reduce(into: [String: Int]()) {
        $0[$1.name, default: 0] += 1
      }
      for (call, count) in counts.sorted(by: { $0.key < $1.key }) {
        points += (1...count).map { Point(rank: rank, call: call, number: $0) }
      }
    }
    victim.remove()
    guard points.contains(where: { $0.call.hasPrefix("rename") }), points.count > 20 else {
      throw CampaignError(description: "only \(points.count) calls were seen of a save")
    }
    return points
  }

  /// Some of them, evenly, for a short campaign.
  private static func chosen(_ points: [Point], _ campaign: Campaign) -> [Point] {
    guard campaign.isShort else { return points }
    let offset = Int(campaign.seed % 6)
    return points.enumerated().filter { $0.offset % 6 == offset }.map(\.element)
  }

  @Sendable private static func crashes(_ campaign: Campaign) throws -> Campaign.Outcome {
    if let obstacle = Strace.obstacle() { return .skipped(obstacle) }
    let specimen = try Specimen(settings, on: launch)
    let points = chosen(try points(specimen), campaign)
    return campaign.trials("F2", points.count) { trial in
      let point = points[trial.index]
      let victim = try specimen.copy(for: trial)
      let log = victim.path + ".trace"
      let options =
        victim.traceOptions(saving: 3, removing: 2, ranks: 2)
        + ["-e", "inject=\(point.call):signal=SIGKILL:when=\(point.number)"]
      let process = try victim.start(
        launch, under: Strace.wrapper(rank: point.rank, options, log: log))
      let result = process.wait(limit: 60)
      let trace = (try? String(contentsOfFile: "\(log).\(point.rank)", encoding: .utf8)) ?? ""
      trial.check(
        "killed at the call", result.code != 0 && trace.contains("killed by SIGKILL"),
        "\(point.text): \(result.code) \(result.stderr)")
      try trial.checkRecovery(of: victim, committedBefore: [2], on: trial.pick([.alone, launch]))
    }
  }

  @Sendable private static func errors(_ campaign: Campaign) throws -> Campaign.Outcome {
    if let obstacle = Strace.obstacle() { return .skipped(obstacle) }
    let specimen = try Specimen(settings, on: launch)
    let points = chosen(try points(specimen), campaign)
    let codes = ["EIO", "ENOSPC"]
    return campaign.trials("F6", points.count * codes.count) { trial in
      let (point, code) = (points[trial.index / 2], codes[trial.index % 2])
      let victim = try specimen.copy(for: trial)
      let options =
        victim.traceOptions(saving: 3, removing: 2, ranks: 2)
        + ["-e", "inject=\(point.call):error=\(code):when=\(point.number)"]
      let result = try victim.start(
        launch, under: Strace.wrapper(rank: point.rank, options, log: victim.path + ".trace")
      ).wait()
      trial.check(
        "trained on, or ended with 74", [0, 74].contains(result.code),
        "\(point.text) \(code): \(result.code) \(result.stderr)")
      let word = code == "EIO" ? "Input/output error" : "No space left on device"
      let isTold = result.stderr.contains(word) && result.stderr.contains(victim.path)
      if isTold { trial.remark("told") }
      if point.call == "write" {
        trial.check("told, with the path", isTold, "\(point.text) \(code): \(result.stderr)")
      }
      try trial.checkRecovery(of: victim, committedBefore: [2], on: trial.pick([.alone, launch]))
    }
  }

  /// Every shard, the manifest and both directories are synced before the rename, and the parent after it.
  @Sendable private static func order(_ campaign: Campaign) throws -> Campaign.Outcome {
    if let obstacle = Strace.obstacle() { return .skipped(obstacle) }
    let specimen = try Specimen(steps: 12)
    return campaign.trials("F4", campaign.count(10, short: 2)) { trial in
      let victim = try specimen.copy(for: trial)
      let log = victim.path + ".trace"
      let options = ["-ttt", "-y", "-e", "trace=fsync,fdatasync,?rename,?renameat,renameat2"]
      let result = try victim.start(
        specimen.launch, under: Strace.wrapper(rank: nil, options, log: log)
      ).wait()
      trial.check("trained", result.code == 0, result.stderr)
      let calls = try (0..<4).flatMap { try Strace.read("\(log).\($0)") }
        .sorted { $0.time < $1.time }
      for step in 3...specimen.steps {
        let problem = violation(of: calls, victim, step)
        trial.check("in order", problem == nil, "step \(step): \(problem ?? "")")
      }
      trial.checkOutcome(of: victim)
      if trial.passes { victim.remove() }
    }
  }

  /// What is wrong in the order of the calls of a save; nil if nothing is.
  private static func violation(of calls: [Strace.Call], _ victim: Victim, _ step: Int) -> String? {
    let name = (victim.checkpoint(step) as NSString).lastPathComponent
    guard
      let rename = calls.firstIndex(where: {
        $0.name.hasPrefix("rename") && $0.arguments.contains("/\(name).partial-")
      })
    else { return "no rename" }
    func isSynced(_ suffix: String, in range: Range<Int>) -> Bool {
      calls[range].contains { $0.name.hasSuffix("sync") && $0.arguments.hasSuffix(suffix + ">") }
    }
    let partial = "/\(name).partial-\(victim.runID)"
    let shards = (0..<4).map { "\(partial)/shard-0000\($0)-of-00004.safetensors.zst" }
    for suffix in shards + ["\(partial)/manifest.json", partial, "/checkpoints"]
    where !isSynced(suffix, in: 0..<rename) {
      return "\(suffix) is not synced before the rename"
    }
    let next = calls[(rename + 1)...].first { $0.process == calls[rename].process }
    guard let next, next.name == "fsync", next.arguments.hasSuffix("/checkpoints>") else {
      return "after the rename comes \(next?.name ?? "nothing") of \(next?.arguments ?? "")"
    }
    return nil
  }
}

extension Victim {
  /// The run's identity.
  var runID: String {
    let data = FileManager.default.contents(atPath: path + "/status.json") ?? Data()
    let status = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
    return status?["run_id"] as? String ?? ""
  }

  /// Options of strace for the calls that concern the save of a step and the removal of another one.
  func traceOptions(saving step: Int, removing old: Int, ranks: Int) -> [String] {
    let shards = (0..<ranks).map { "/shard-0000\($0)-of-0000\(ranks).safetensors.zst" }
    let partial = checkpoint(step) + ".partial-" + runID
    let directories = [partial, checkpoint(old), checkpoint(old) + ".deleting"]
    var paths = [path + "/checkpoints", checkpoint(step), path + "/metrics.jsonl"]
    for directory in directories {
      paths += [directory] + (shards + ["/manifest.json"]).map { directory + $0 }
    }
    return ["-e", "trace=" + Strace.calls] + paths.flatMap { ["-P", $0] }
  }
}
