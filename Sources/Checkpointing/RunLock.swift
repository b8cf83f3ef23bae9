import Files
import Foundation
import JSON

/// Exclusive use of a run directory, held from `init` until `release` or the end of the process.
///
/// The lock is the kernel's (`flock` on `<run>/.lock`), so it goes with its holder however that
/// dies; the file's text only says who that is. On a file system without locks the text is all there
/// is: then a lock counts as stale only when its process was on this machine and is gone.
public final class RunLock {
  /// The file's path.
  public let path: String

  /// Who left the lock behind without releasing it, if somebody did: for a log line.
  public let staleOwner: String?

  private let lock: FileLock
  private var isHeld = true

  /// Takes the lock of a run directory, which must exist.
  ///
  /// One process of a run does this: rank 0.
  ///
  /// - Parameter run: the directory.
  /// - Throws: `.locked`, naming host, process and Slurm job of the holder; `.file`.
  public init(run: String) throws(CheckpointError) {
    let lock = try CheckpointError.from(try FileLock(file: run + "/.lock"))
    let owner = Owner(try CheckpointError.from(try lock.text()))
    switch lock.state {
    case .held: break
    case .heldElsewhere:
      throw .locked(path: run, owner: owner?.description ?? "another process")
    case .unsupported:
      if let owner, !owner.isProvablyDead {
        let hint = " (or " + lock.path + " is stale: remove it if so)"
        throw .locked(path: run, owner: owner.description + hint)
      }
    }
    try CheckpointError.from(try lock.write(Owner.current.text))
    self.lock = lock
    path = lock.path
    staleOwner = owner?.description
  }

  deinit { release() }

  /// Gives the directory free.
  public func release() {
    guard isHeld else { return }
    isHeld = false
    try? lock.write([])  // says: released, not abandoned
    lock.release()
  }
}

/// Who holds a lock.
private struct Owner: CustomStringConvertible {
  let host: String
  let process: Int
  let job: String?

  /// This process.
  static var current: Owner {
    let environment = ProcessInfo.processInfo.environment
    return Owner(
      host: hostName, process: Int(getpid()), job: environment["SLURM_JOB_ID"])
  }

  private static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return name.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  var description: String {
    "process \(process) on \(host)" + (job.map { " (Slurm job \($0))" } ?? "")
  }

  /// Whether the process ran on this machine and is no more.
  var isProvablyDead: Bool {
    host == Self.hostName && kill(pid_t(truncatingIfNeeded: process), 0) != 0 && errno == ESRCH
  }

  init(host: String, process: Int, job: String?) {
    self.host = host
    self.process = process
    self.job = job
  }

  /// Reads the text of a lock file; nil if it is empty or not ours.
  init?(_ text: [UInt8]) {
    guard
      let value = try? text.withUnsafeBytes({ try JSONValue(parsing: $0, source: "lock") }),
      let host = value["host"]?.string, let process = value["pid"]?.integer()
    else { return nil }
    self.init(host: host, process: process, job: value["slurm_job_id"]?.string)
  }

  /// The text of a lock file.
  var text: [UInt8] {
    var members = [
      JSONMember("host", .string(host)), JSONMember("pid", .integer(process)),
      JSONMember("since", .string(Date().ISO8601Format())),
    ]
    if let job { members.append(JSONMember("slurm_job_id", .string(job))) }
    return JSONValue.object(members).encoded() + [0x0A]
  }
}
