import ChildPrograms
import Foundation

/// Launchers and machines that are not as they should be.
enum SurroundingsMarks {
  static let all = [
    Mark(
      id: "F34", title: "variables of a launcher that did not start the program", run: launchers),
    Mark(id: "F35", title: "a rank bound to one processor of several", run: binding),
    Mark(id: "F36", title: "odd names, files, logs and limits") { try surroundings($0, cases) },
    Mark(id: "F36", title: "odd mounts") { campaign in
      guard getuid() == 0 else { return .skipped("mounting needs root") }
      return try surroundings(campaign, mounts)
    },
  ]

  /// Variables, and whether a process alone may run with them; one rank speaks for those that may not.
  private static let launcherCases: [(variables: [String: String], runs: Bool)] = [
    (["SLURM_JOB_ID": "7", "SLURM_JOBID": "7", "SLURM_NODELIST": "n"], true),
    (
      [
        "SLURM_JOB_ID": "7", "SLURM_NODELIST": "n", "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0",
      ], false
    ),
    (
      [
        "SLURM_JOB_ID": "7", "SLURM_NODELIST": "n", "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5",
      ], false
    ),
    (["PMI_RANK": "1", "PMI_SIZE": "4", "PMI_FD": "7"], false),
  ]

  @Sendable private static func launchers(_ campaign: Campaign) throws -> Campaign.Outcome {
    let specimen = try Specimen(on: .alone)
    return campaign.trials("F34", launcherCases.count) { trial in
      let (variables, runs) = launcherCases[trial.index]
      let victim = try specimen.copy(for: trial)
      let before = try FileManager.default.subpathsOfDirectory(atPath: victim.path)
      let result = try victim.start(.alone, environment: variables).wait()
      if result.code == 0 {
        // Alone is what it says it is; then nothing is lost.
        trial.check("ran alone", runs || result.stderr.contains("1 rank x"), result.stderr)
        trial.checkOutcome(of: victim)
      } else {
        let speaks = variables["SLURM_PROCID"] == "0"
        trial.check(
          "refused in one line",
          !runs && result.code == 64 && result.errorLines.count == (speaks ? 1 : 0),
          "\(variables): \(result.code) \(result.stderr)")
        trial.check(
          "nothing touched",
          try FileManager.default.subpathsOfDirectory(atPath: victim.path) == before)
      }
    }
  }

  @Sendable private static func binding(_ campaign: Campaign) throws -> Campaign.Outcome {
    guard ProcessInfo.processInfo.activeProcessorCount > 1 else {
      return .skipped("one processor")
    }
    let specimen = try Specimen(["parallel.threads_per_rank=auto"], on: .alone)
    return campaign.trials("F35", 1) { trial in
      let victim = try specimen.copy(for: trial)
      let result = try victim.start(.bound).wait()
      let warnings = result.stderr.split(separator: "\n").filter { $0.hasPrefix("warning: ") }
      trial.check(
        "told in one line",
        result.code == 0 && warnings.count == 1 && warnings[0].contains("--bind-to none"),
        result.stderr)
      trial.checkOutcome(of: victim)
    }
  }

  /// A run in some surroundings: what prepares them, what starts the program in them, and how it ends.
  private struct Surroundings: Sendable {
    let name: String
    var prepare: @Sendable (Victim) throws -> Void = { _ in }
    /// A command to which the program is appended.
    var wrapper: [String] = []
    var launch = TrainingJob.Launch.ranks(2)
    /// Whether the command needs the run directory's path, too.
    var needsPath = false
    /// What has to be said, where it cannot run.
    var refusal: String?
  }

  private static let isolated = ["unshare", "-m", "sh", "-c"]

  private static let cases = [
    Surroundings(name: "a name with spaces and letters beyond ASCII"),
    Surroundings(
      name: "a row of zeros in metrics.jsonl",
      prepare: { victim in
        let path = victim.path + "/metrics.jsonl"
        let rows = FileManager.default.contents(atPath: path) ?? Data()
        try (rows + Data(count: 300)).write(to: URL(fileURLWithPath: path))
      }),
    Surroundings(
      name: "a lock that is a link",
      prepare: { victim in
        try "precious".write(
          toFile: victim.path + "/precious", atomically: false, encoding: .utf8)
        try? FileManager.default.removeItem(atPath: victim.path + "/.lock")
        try FileManager.default.createSymbolicLink(
          atPath: victim.path + "/.lock", withDestinationPath: victim.path + "/precious")
      }, refusal: "/.lock: Too many levels of symbolic links"),
    Surroundings(
      name: "a pipe in place of a shard",
      prepare: { victim in
        let shard = victim.checkpoint(2) + "/shard-00000-of-00002.safetensors.zst"
        try FileManager.default.removeItem(atPath: shard)
        mkfifo(shard, 0o644)
      }),
    Surroundings(
      name: "a log on a full disk", wrapper: ["sh", "-c", "exec \"$@\" 2>/dev/full", "sh"],
      launch: .alone),
    Surroundings(
      name: "no standard files", wrapper: ["sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh"],
      launch: .alone),
    Surroundings(
      name: "few descriptors", wrapper: ["prlimit", "--nofile=48"], launch: .alone),
  ]

  private static let mounts = [
    Surroundings(
      name: "no /dev/shm",
      wrapper: isolated + ["mount -t tmpfs -o ro,size=4k none /dev/shm; exec \"$@\"", "sh"]),
    Surroundings(
      name: "an output that cannot be written",
      wrapper: isolated + ["mount -o bind,ro \"$0\" \"$0\" && exec \"$@\""], launch: .alone,
      needsPath: true, refusal: "Read-only file system"),
  ]

  private static func surroundings(
    _ campaign: Campaign, _ cases: [Surroundings]
  ) throws -> Campaign.Outcome {
    let specimen = try Specimen(on: .ranks(2))
    return campaign.trials("F36", cases.count) { trial in
      let place = cases[trial.index]
      let label = place.name.contains("ASCII") ? " a name \u{E9}\u{4E2D}" : ""
      let victim = try specimen.copy(for: trial, label)
      try place.prepare(victim)
      let wrapper = place.wrapper + (place.needsPath ? [victim.path] : [])
      let result = try victim.start(place.launch, under: wrapper).wait(limit: 30)
      if let refusal = place.refusal {
        trial.check(
          "refused in one line",
          result.code == 74 && result.errorLines.count == 1 && result.stderr.contains(refusal)
            && result.stderr.contains(victim.path), "\(place.name): \(result.stderr)")
      } else {
        trial.check("ran", result.code == 0, "\(place.name): \(result.code) \(result.stderr)")
        trial.checkOutcome(of: victim)
      }
      let precious = FileManager.default.contents(atPath: victim.path + "/precious")
      trial.check(
        "touched nothing else", precious.map { $0 == Data("precious".utf8) } ?? true, place.name)
    }
  }
}
