import Foundation
import TensorFiles

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

  private var descriptor: Int32

  /// Takes the lock of a run directory, which must exist.
  ///
  /// One process of a run does this: rank 0.
  ///
  /// - Parameter run: the directory.
  /// - Throws: `.locked`, naming host, process and Slurm job of the holder; `.io`.
  public init(run: String) throws(CheckpointError) {
    let path = run + "/.lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw .io(path: path, operation: "open", code: errno, missingBytes: nil)
    }
    var owner: Owner?
    do throws(CheckpointError) {
      let isLocked = flock(descriptor, LOCK_EX | LOCK_NB) == 0
      let code = errno
      owner = Owner(descriptor: descriptor)
      if !isLocked {
        guard [ENOSYS, ENOLCK, EOPNOTSUPP].contains(code) else {
          if code == EWOULDBLOCK {
            throw .locked(path: run, owner: owner?.description ?? "another process")
          }
          throw .io(path: path, operation: "lock", code: code, missingBytes: nil)
        }
        if let owner, !owner.isProvablyDead {
          throw .locked(
            path: run, owner: owner.description + " (or " + path + " is stale: remove it if so)")
        }
      }
      try Owner.current.write(to: descriptor, path: path)
    } catch {
      close(descriptor)
      throw error
    }
    self.path = path
    self.descriptor = descriptor
    staleOwner = owner?.description
  }

  deinit { release() }

  /// Gives the directory free.
  public func release() {
    guard descriptor >= 0 else { return }
    _ = ftruncate(descriptor, 0)  // says: released, not abandoned
    close(descriptor)
    descriptor = -1
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
  init?(descriptor: Int32) {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    guard count > 0,
      let value = try? bytes[..<count].withUnsafeBytes({
        try JSONValue(parsing: $0, source: "lock")
      }),
      let host = value["host"]?.string, let process = value["pid"]?.integer()
    else { return nil }
    self.init(host: host, process: process, job: value["slurm_job_id"]?.string)
  }

  func write(to descriptor: Int32, path: String) throws(CheckpointError) {
    var members = [
      JSONMember("host", .string(host)), JSONMember("pid", .integer(process)),
      JSONMember("since", .string(Date().ISO8601Format())),
    ]
    if let job { members.append(JSONMember("slurm_job_id", .string(job))) }
    let text = JSONValue.object(members).encoded() + [0x0A]
    guard ftruncate(descriptor, 0) == 0,
      pwrite(descriptor, text, text.count, 0) == text.count
    else { throw .io(path: path, operation: "write", code: errno, missingBytes: nil) }
  }
}
