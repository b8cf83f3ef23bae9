import Checkpointing
import Collectives
import ErrorReporting
import Foundation
import TensorStorage
import Watchdog

/// The ranks of a run and what they need to agree on.
public final class Ranks {
  /// The way to the other ranks.
  public let communicator: Communicator

  /// When this rank began.
  let startTime = RunClock.seconds
  /// What this rank is doing.
  let activity = Activity()

  let stop: StopRequest
  /// Whoever watches over the ranks, once there are several and it was asked for.
  var watch: RankWatch?

  /// Joins the run's ranks; collective.
  ///
  /// - Parameter communicator: MPI.
  /// - Throws: `CollectiveError`.
  public init(_ communicator: Communicator) throws {
    self.communicator = communicator
    stop = try StopRequest(communicator)
    // A rank that waits passes on what it is asked.
    communicator.whileWaiting = { [unowned self] in _ = isAskedToStop }
    SystemResources.whenExhausted = { [unowned self] line in
      endJob(FailureReport(exitCode: 74, line: line))
    }
  }

  /// This process's number.
  public var rank: Int { communicator.rank }
  /// Number of processes.
  public var size: Int { communicator.size }
  /// Whether this is the rank that writes what is written once.
  public var leads: Bool { rank == 0 }

  /// Prepares for MPI's start what Slurm's environment says to it; before it.
  ///
  /// Where srun started nobody with PMIx, Open MPI takes a process inside of an allocation for one that it
  /// did, and ends it with a page of text: a single process then runs alone.
  ///
  /// - Throws: `TrainingError.launch` for several processes, which could not find each other.
  public static func prepareLaunch() throws(TrainingError) {
    if try isMistakenForAStep(ProcessInfo.processInfo.environment) { unsetenv("SLURM_NODELIST") }
  }

  /// Whether Open MPI would wait for a server of srun's that is not there.
  package static func isMistakenForAStep(
    _ environment: [String: String]
  ) throws(TrainingError) -> Bool {
    let servers = ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_FD"]
    guard environment["SLURM_NODELIST"] != nil, servers.allSatisfy({ environment[$0] == nil })
    else { return false }
    let tasks = environment["SLURM_STEP_NUM_TASKS"].flatMap { Int($0) } ?? 1
    guard environment["SLURM_STEP_ID"] == nil || tasks == 1 else {
      throw .launch(
        "srun started \(tasks) processes without PMIx, so they cannot find each other; use `srun "
          + "--mpi=pmix` or mpirun")
    }
    return true
  }

  /// Refuses processes that a launcher started side by side without MPI knowing: each would train
  /// alone and write over the others (open-mpi/ompi#13523).
  ///
  /// - Throws: `TrainingError.launch`.
  public func checkLaunch() throws(TrainingError) {
    try Self.checkLaunch(size: size, ProcessInfo.processInfo.environment)
  }

  static func checkLaunch(size: Int, _ environment: [String: String]) throws(TrainingError) {
    let launchers = [
      ("SLURM_STEP_NUM_TASKS", "srun", "use `srun --mpi=pmix` or mpirun"),
      ("OMPI_COMM_WORLD_SIZE", "mpirun", "is the program linked with another MPI than mpirun's?"),
    ]
    for (variable, launcher, hint) in launchers {
      guard let started = environment[variable].flatMap({ Int($0) }), started > 1, size == 1 else {
        continue
      }
      throw TrainingError.launch(
        "\(launcher) started \(started) processes but MPI sees only one; \(hint)")
    }
  }

  /// Runs `body` on every rank; if it fails on any, throws the first rank's error on all.
  public func agree<Result>(_ body: () throws -> Result) throws -> Result {
    var failure: FailureReport?
    var result: Result?
    do { result = try body() } catch { failure = FailureReport(error) }
    let code = try communicator.maximum(Int(failure?.exitCode ?? 0))
    if code == 0, let result { return result }
    let mine = failure.map { "\($0.exitCode) \($0.line)" } ?? ""
    for bytes in try communicator.gather(Array(mine.utf8)) where !bytes.isEmpty {
      let text = String(decoding: bytes, as: UTF8.self)
      let parts = text.split(separator: " ", maxSplits: 1)
      throw AgreedError(
        exitCode: parts.first.flatMap { Int32($0) } ?? 70, description: String(parts.last ?? ""))
    }
    throw AgreedError(exitCode: 70, description: "a rank failed without an error message")
  }

  /// Whether all ranks have that error, at the same place: they can go on together after it.
  ///
  /// After any other they no longer know of each other's progress; MPI that failed on one rank is one
  /// of those, also inside a save.
  public static func isShared(_ error: any Error) -> Bool {
    if case .coordination? = error as? CheckpointError { return false }
    return error is AgreedError || error is TrainingError || error is CheckpointError
  }

  /// What stopped the run, and what kept its last step from being saved, as one error of all ranks.
  func joined(_ error: any Error, _ second: any Error) -> any Error {
    guard Self.isShared(second) else { return second }
    let (first, then) = (FailureReport(error), FailureReport(second))
    let reason = first.line == then.line ? "" : ": \(then.line)"
    return AgreedError(
      exitCode: first.exitCode,
      description: "\(first.line); and the steps since the last checkpoint are lost\(reason)")
  }

  /// Leaves MPI and the watch, at the end of a run.
  ///
  /// - Throws: `CollectiveError`.
  public func leave() throws {
    watch?.leave()
    try communicator.finalize()
  }

  /// Reports the error that ends the run and leaves MPI.
  ///
  /// An error of all ranks is told by the first of them; after any other the whole job is ended.
  ///
  /// - Returns: the exit code.
  public func leave(because error: any Error) -> Int32 {
    guard Self.isShared(error) else { endJob(because: error) }
    let failure = FailureReport(error)
    if leads { StandardError.write("error: \(failure.line)\n") }
    do {
      try leave()
    } catch {
      communicator.abort(failure.exitCode)
    }
    return failure.exitCode
  }

  /// Says what happened and ends the whole job: for an error that only this rank has.
  public func endJob(because error: any Error) -> Never { endJob(FailureReport(error)) }

  private func endJob(_ failure: FailureReport) -> Never {
    watch?.leave(endingAll: true)
    StandardError.write("error: \(errorPrefix)\(failure.line)\n")
    // Alone there is nobody to end, and MPI would say more than one line.
    if size == 1 { _exit(failure.exitCode) }
    communicator.abort(failure.exitCode)
  }

  /// Says which rank has an error that only one has; empty where there is only one rank.
  var errorPrefix: String { size == 1 ? "" : "rank \(rank): " }

  /// The lead's text, on every rank.
  public func fromLead(_ text: String) throws -> String {
    let all = try communicator.gather(leads ? Array(text.utf8) : [])
    return String(decoding: all[0], as: UTF8.self)
  }

  /// Whether this rank was asked to stop, or heard that another one was; not collective.
  ///
  /// When MPI fails the whole job ends.
  var isAskedToStop: Bool { isAskedToStop(before: 0) }

  private func isAskedToStop(before work: Double) -> Bool {
    do { return try stop.isMade(before: work) } catch { endJob(because: error) }
  }

  /// Why the run stops, once `areAskedToStop` was true.
  public var stopReason: StopReason? { stop.reason }

  /// Agrees on whether any rank was asked to stop; collective.
  ///
  /// - Parameter work: seconds of what would come next, for which there may be no time.
  /// - Returns: whether one was.
  /// - Throws: `CollectiveError`.
  func areAskedToStop(before work: Double = 0) throws -> Bool {
    let mine = isAskedToStop(before: work) ? stop.reason?.code ?? 0 : 0
    guard let agreed = StopReason(code: try communicator.maximum(mine)) else { return false }
    stop.accept(agreed)
    return true
  }

  /// Leaves a start-up that any rank was asked to stop; collective.
  ///
  /// - Throws: `StoppedBeforeTraining`.
  func stopIfAsked() throws {
    if try areAskedToStop() { throw StoppedBeforeTraining() }
  }
}

/// Saves one shard a rank.
struct RankCoordination: ShardCoordination {
  let communicator: Communicator

  var shardCount: Int { communicator.size }
  var localShards: Range<Int> { communicator.rank..<(communicator.rank + 1) }

  func exchange(_ messages: [[UInt8]]) throws -> [[UInt8]] {
    try communicator.gather(messages[0])
  }
}
