import Checkpointing
import Files
import Foundation
import JSON

/// What a run directory says about its run, for batch scripts: `status.json`.
///
/// The lead rank writes it when the run starts, whenever a step is safe, and when the run ends. A job that
/// was killed leaves `running`.
package struct RunStatus: Equatable {
  /// The file's name in the run directory.
  package static let fileName = "status.json"

  /// What became of the run.
  package enum State: String, Sendable {
    /// It trains, or was killed.
    case running
    /// Asked to stop, its last step is saved: to be started again.
    case saved
    /// All steps are done and the model is exported.
    case finished
    /// It ended with an error.
    case failed
  }

  /// The run's identity, the same over its restarts.
  package var runID: String
  /// What became of it.
  package var state: State
  /// The last step that is saved; 0 for none.
  package var savedStep: Int
  /// Steps altogether.
  package var steps: Int
  /// Ranks of this launch.
  package var ranks: Int
  /// The lead rank's machine, process and Slurm job.
  package var host: String
  /// The lead rank's process.
  package var process: Int
  /// Its Slurm job; nil outside Slurm.
  package var job: String?
  /// When this launch began, UTC.
  package var started: String
  /// When this was written, UTC.
  package var time: String
  /// How often the run was started.
  package var launches: Int
  /// How many of these, the last ones, have saved nothing.
  package var idleLaunches: Int
  /// The line with which it ended, and the exit code.
  package var failure: (line: String, exitCode: Int32)?

  /// The status at a start.
  package init(
    runID: String, savedStep: Int, steps: Int, ranks: Int, after previous: RunStatus?
  ) {
    (self.runID, self.savedStep, self.steps, self.ranks) = (runID, savedStep, steps, ranks)
    state = .running
    host = ProcessInfo.processInfo.hostName
    process = Int(ProcessInfo.processInfo.processIdentifier)
    job = ProcessInfo.processInfo.environment["SLURM_JOB_ID"]
    started = Self.now
    time = started
    launches = (previous?.launches ?? 0) + 1
    idleLaunches = (previous?.idleLaunches ?? 0) + 1
  }

  package static func == (a: RunStatus, b: RunStatus) -> Bool { a.json == b.json }

  private static var now: String { Date().ISO8601Format() }

  private var json: JSONValue {
    var members = [
      JSONMember("run_id", .string(runID)), JSONMember("state", .string(state.rawValue)),
      JSONMember("saved_step", .integer(savedStep)), JSONMember("steps", .integer(steps)),
      JSONMember("ranks", .integer(ranks)), JSONMember("host", .string(host)),
      JSONMember("pid", .integer(process)),
    ]
    if let job { members.append(JSONMember("slurm_job_id", .string(job))) }
    members += [
      JSONMember("started", .string(started)), JSONMember("time", .string(time)),
      JSONMember("launches", .integer(launches)),
      JSONMember("idle_launches", .integer(idleLaunches)),
    ]
    if let failure {
      members.append(JSONMember("exit_code", .integer(Int(failure.exitCode))))
      members.append(JSONMember("error", .string(failure.line)))
    }
    return .object(members)
  }

  /// Reads what an earlier launch wrote.
  ///
  /// - Returns: nil when there is none; and why what stands there is not a status.
  /// - Throws: `.io` when it cannot be read.
  package static func find(in run: String) throws(FileError) -> (RunStatus?, doubt: FileError?) {
    let path = run + "/" + fileName
    do {
      if let status = RunStatus(try JSONValue(contentsOf: path)) { return (status, nil) }
      return (nil, .invalid(path: path, field: "run_id", reason: "this is not a run's status"))
    } catch  where error.saysAbsent {
      return (nil, nil)
    } catch  where error.exitCode == 65 {
      return (nil, error)
    }
  }

  /// What its numbers may be: the next launch counts on from them.
  private static let plausible = 0..<(1 << 60)

  private init?(_ json: JSONValue) {
    guard let runID = json["run_id"]?.string,
      let state = json["state"]?.string.flatMap(State.init(rawValue:)),
      let savedStep = json["saved_step"]?.integer(), let steps = json["steps"]?.integer(),
      let ranks = json["ranks"]?.integer(), let host = json["host"]?.string,
      let process = json["pid"]?.integer(), let launches = json["launches"]?.integer(),
      let idleLaunches = json["idle_launches"]?.integer(),
      [savedStep, steps, ranks, process, launches, idleLaunches].allSatisfy(Self.plausible.contains)
    else { return nil }
    (self.runID, self.state, self.savedStep, self.steps) = (runID, state, savedStep, steps)
    (self.ranks, self.host, self.process) = (ranks, host, process)
    (self.launches, self.idleLaunches) = (launches, idleLaunches)
    job = json["slurm_job_id"]?.string
    started = json["started"]?.string ?? ""
    time = json["time"]?.string ?? ""
    if let line = json["error"]?.string, let code = json["exit_code"]?.integer() {
      failure = (line, Int32(truncatingIfNeeded: code))
    }
  }

  /// Notes in a run directory that this process's run has failed, where nobody else can any more; a status that
  /// cannot be written stays.
  static func noteFailure(in run: String, line: String, exitCode: Int32) {
    guard var status = try? find(in: run).0, status.state == .running,
      status.process == Int(ProcessInfo.processInfo.processIdentifier)
    else { return }
    (status.state, status.failure) = (.failed, (line, exitCode))
    try? status.write(in: run)
  }

  /// Writes it into a run directory.
  ///
  /// - Throws: `FileError`; what stood there stays.
  package mutating func write(in run: String) throws(FileError) {
    time = Self.now
    try FileReplacement.write(json.encoded() + [0x0A], to: run + "/" + Self.fileName)
  }
}
