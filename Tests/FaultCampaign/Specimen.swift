import ChildPrograms
import Foundation

/// A run that has saved some steps, and what it becomes when nothing happens to it.
final class Specimen: @unchecked Sendable {
  /// The recipe and where everything is; only read after `init`.
  let job: TrainingJob
  /// On how many ranks it has trained.
  let launch: TrainingJob.Launch
  /// The run undisturbed to its end.
  let reference: TrainingJob.Outcome
  /// Steps of the whole run.
  let steps: Int

  /// The undisturbed run's name.
  static let whole = "whole"
  private static let base = "base"

  /// The run that is copied.
  var basePath: String { job.output(Self.base) }

  /// What every specimen has: a checkpoint after every step, and a schedule that does not depend on the
  /// number of steps.
  private static let settings = [
    "checkpoint.every=1", "train.schedule={kind: constant, warmup_steps: 0}",
  ]

  /// Trains the undisturbed run, and another one as far as `savedStep`.
  ///
  /// - Parameters:
  ///   - settings: overrides.
  ///   - launch: on how many ranks.
  ///   - savedStep: how far the copies are; 0 for runs that have not begun.
  ///   - steps: the whole run.
  ///   - source: makes the data of the job, and returns overrides that name it.
  /// - Throws: when the undisturbed run fails.
  init(
    _ settings: [String] = [], on launch: TrainingJob.Launch = .ranks(4), savedStep: Int = 2,
    steps: Int = 8, source: (TrainingJob) throws -> [String] = { _ in [] }
  ) throws {
    job = try TrainingJob(Self.settings + settings)
    job.settings += try source(job)
    self.launch = launch
    self.steps = steps
    for (name, steps) in [(Self.whole, steps), (Self.base, savedStep)] where steps > 0 {
      let keep = name == Self.whole ? ["checkpoint.keep=1000"] : []
      let result = try job.start(launch, run: name, keep + ["train.steps=\(steps)"]).wait()
      guard result.code == 0 else {
        throw CampaignError(description: "the undisturbed run fails: \(result.stderr)")
      }
    }
    reference = try job.outcome(Self.whole)
  }

  /// A copy of the run for a trial to hurt.
  func copy(for trial: Trial, _ label: String = "") throws -> Victim {
    try copy(named: trial.name + label)
  }

  /// A copy of the run.
  func copy(named name: String) throws -> Victim {
    let victim = Victim(specimen: self, name: name)
    if FileManager.default.fileExists(atPath: basePath) {
      try FileManager.default.copyItem(atPath: basePath, toPath: victim.path)
    }
    return victim
  }

  /// Runs `statex` with these arguments.
  func statex(_ arguments: String...) throws -> ChildProcess.Result {
    try ChildProcess(
      [TrainingJob.products + "/statex"] + arguments, directory: job.directory.path
    ).wait()
  }

  /// Seconds that a save takes, from its first file to its name.
  func secondsOfSave() throws -> Double {
    let victim = Victim(specimen: self, name: "timed")
    let process = try victim.start(launch)
    var times: [Double] = []
    while process.waitForSave(victim) {
      let start = Date()
      process.wait { !victim.isSaving }
      times.append(Date().timeIntervalSince(start))
    }
    let result = process.wait()
    victim.remove()
    guard result.code == 0, !times.isEmpty else {
      throw CampaignError(description: "no save was seen: \(result.stderr)")
    }
    return times.sorted()[times.count / 2]
  }
}

/// A run directory that something happens to.
struct Victim {
  let specimen: Specimen
  let name: String

  var path: String { specimen.job.output(name) }

  /// Names below `checkpoints`.
  var names: [String] { (try? specimen.job.checkpoints(name)) ?? [] }

  /// Steps whose checkpoints are committed.
  var committed: [Int] {
    names.filter { !$0.contains(".") }.compactMap { Int($0.dropFirst("step-".count)) }.sorted()
  }

  /// Whether a save is under way, or one was interrupted.
  var isSaving: Bool { names.contains { $0.contains(".partial-") } }

  /// Whether that step is being saved.
  func isSaving(_ step: Int) -> Bool {
    names.contains { $0.contains("0\(step).partial-") }
  }

  /// How many rows the metrics have.
  var rows: Int {
    let data = FileManager.default.contents(atPath: path + "/metrics.jsonl") ?? Data()
    return data.count { $0 == UInt8(ascii: "\n") }
  }

  /// The path of a step's checkpoint.
  func checkpoint(_ step: Int) -> String {
    let digits = String(step)
    return path + "/checkpoints/step-" + String(repeating: "0", count: 8 - digits.count) + digits
  }

  /// Starts or resumes it.
  func start(
    _ launch: TrainingJob.Launch, _ arguments: [String] = [], environment: [String: String] = [:],
    under wrapper: [String] = []
  ) throws -> ChildProcess {
    // Two launchers that make their session directory in the same place at the same time disturb each other.
    let scratch = specimen.job.output("tmp-" + UUID().uuidString.prefix(8))
    try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
    return try specimen.job.start(
      launch, run: name, ["train.steps=\(specimen.steps)"] + arguments,
      environment: environment.merging(["TMPDIR": scratch]) { $1 }, under: wrapper)
  }

  /// What `statex checkpoint verify` says of all its checkpoints.
  func verify() throws -> ChildProcess.Result {
    try specimen.statex("checkpoint", "verify", path)
  }

  /// Removes it.
  func remove() { try? FileManager.default.removeItem(atPath: path) }
}

extension Trial {
  /// Checks that a run stands after a fault: nothing committed is lost or damaged, and it goes on to the
  /// same bits.
  ///
  /// - Parameters:
  ///   - victim: the run, with nothing running in it.
  ///   - steps: the steps that were committed before the fault.
  ///   - launch: what goes on.
  ///   - more: what else to check at the end.
  /// - Throws: when a program cannot be started.
  func checkRecovery(
    of victim: Victim, committedBefore steps: [Int], on launch: TrainingJob.Launch,
    and more: () throws -> Void = {}
  ) throws {
    let left = victim.committed
    check(
      "kept every committed step", (left.last ?? 0) >= (steps.last ?? 0),
      "\(steps) before, \(victim.names) after")
    if !left.isEmpty {
      let verified = try victim.verify()
      check("verified", verified.code == 0, verified.stdout + verified.stderr)
    }
    let resumed = try victim.start(launch).wait()
    let isContinued = left.last.map { resumed.stderr.contains("resuming after step \($0)") }
    check(
      "resumed from a committed step",
      resumed.code == 0 && isContinued != false && !resumed.stderr.contains("skipping"),
      "\(left): \(resumed.stderr)")
    checkOutcome(of: victim)
    try more()
    if passes { victim.remove() }
  }

  /// A rank of a run of four, or any of them; nil when the run is at its end.
  func rank(
    _ number: Int? = nil, of process: ChildProcess, _ launch: TrainingJob.Launch
  ) -> pid_t? {
    let all = process.ranks(launch)
    return all.count == 4 ? all[number ?? random.below(4)] : nil
  }

  /// Notes that a run came to its end before anything was done to it, and checks that it ended well.
  func isTooLate(_ process: ChildProcess, _ victim: Victim) {
    remark("too late")
    let result = process.wait(limit: 60)
    check("ended well", result.code == 0, "\(result.code) \(result.stderr)")
    checkOutcome(of: victim)
  }

  /// Checks that a run has ended as the undisturbed one, its rows without a gap or a repetition.
  func checkOutcome(of victim: Victim) {
    let outcome = try? victim.specimen.job.outcome(victim.name)
    check(
      "bit-identical", outcome == victim.specimen.reference,
      "\(victim.path): \(outcome?.rows ?? [])")
  }
}

extension ChildProcess {
  /// Waits until a save begins, after some others; false when the program ends before.
  func waitForSave(_ victim: Victim, after count: Int = 0) -> Bool {
    for number in 0...count {
      wait { victim.isSaving }
      if hasEnded { return false }
      if number < count { wait { !victim.isSaving } }
    }
    return !hasEnded
  }

  /// Ends the launcher and all ranks at once, also those that a wrapper runs.
  func killAll(_ launch: TrainingJob.Launch) {
    let ranks = ranks(launch)
    let all = ranks + ranks.flatMap(Self.children) + [pid]
    for process in all { kill(process, SIGKILL) }
    end()
    while all.contains(where: Self.isRunning) { usleep(1000) }
  }
}
