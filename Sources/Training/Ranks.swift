import Checkpointing
import Collectives
import ErrorReporting
import Foundation
import Kernels

/// The ranks of a run and what they need to agree on.
public final class Ranks {
  /// The way to the other ranks.
  public let communicator: Communicator

  /// Joins the run's ranks.
  ///
  /// - Parameter communicator: MPI.
  /// - Throws: `TrainingError.launch` when a launcher started processes that do not know each other.
  public init(_ communicator: Communicator) throws {
    self.communicator = communicator
    try Self.checkLaunch(size: communicator.size, ProcessInfo.processInfo.environment)
  }

  /// This process's number.
  public var rank: Int { communicator.rank }
  /// Number of processes.
  public var size: Int { communicator.size }
  /// Whether this is the rank that writes what is written once.
  public var leads: Bool { rank == 0 }

  /// Refuses processes that a launcher started side by side without MPI knowing: each would train
  /// alone and write over the others (open-mpi/ompi#13523).
  static func checkLaunch(size: Int, _ environment: [String: String]) throws {
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
    throw AgreedError(exitCode: 70, description: "a rank failed without a word")
  }

  /// Says what happened and ends the whole job: for an error that only this rank has.
  public func endJob(because error: any Error) -> Never {
    Self.endJob(communicator, because: FailureReport(error))
  }

  /// Says what happened on this rank and ends the whole job with that exit code.
  public static func endJob(_ communicator: Communicator, because failure: FailureReport) -> Never {
    FileHandle.standardError.write(Data("error: rank \(communicator.rank): \(failure.line)\n".utf8))
    communicator.abort(failure.exitCode)
  }

  /// The lead's text, on every rank.
  public func fromLead(_ text: String) throws -> String {
    let all = try communicator.gather(leads ? Array(text.utf8) : [])
    return String(decoding: all[0], as: UTF8.self)
  }

  /// Threads for this rank: as asked for, or the processors it may use divided among the ranks that
  /// share them.
  ///
  /// - Returns: threads, and whether ranks of this machine have more threads than processors.
  public func threads(asked: Int?) throws -> (count: Int, oversubscribed: Bool) {
    let processors = AllowedProcessors.current()
    let all = try communicator.gather(Array((processors.host + " " + processors.mask).utf8))
    let sharing = all.count { $0 == all[rank] }
    let count = asked ?? max(1, processors.count / sharing)
    return (count, count * sharing > processors.count)
  }
}

/// The processors that the operating system lets this process run on.
public struct AllowedProcessors {
  let host: String
  /// As the kernel writes it, for example `0-3,8`.
  let mask: String
  /// How many they are.
  public let count: Int

  /// This process's, as they are now.
  public static func current() -> AllowedProcessors {
    let online = max(1, ProcessInfo.processInfo.activeProcessorCount)
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    let mask = line.map { $0.dropFirst("Cpus_allowed_list:".count).filter { !$0.isWhitespace } }
    return AllowedProcessors(
      host: ProcessInfo.processInfo.hostName, mask: mask ?? "all",
      count: mask.flatMap(count) ?? online)
  }

  /// Processors in a list such as `0-3,8`; nil for anything else.
  static func count(_ list: String) -> Int? {
    var count = 0
    for part in list.split(separator: ",") {
      let ends = part.split(separator: "-").map { Int($0) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, last >= first else {
        return nil
      }
      count += last - first + 1
    }
    return count > 0 ? count : nil
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
