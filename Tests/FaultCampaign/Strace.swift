import ChildPrograms
import Foundation

/// What strace saw of a rank, or does to one.
enum Strace {
  /// The calls that change files, and those that open and close them; `?` is for those that not every
  /// processor has.
  static let calls =
    "openat,?mkdir,mkdirat,write,pwrite64,ftruncate,fsync,fdatasync,close,"
    + "?rename,?renameat,renameat2,?unlink,unlinkat,?rmdir"

  /// Why nothing can be traced on this machine; nil if it can.
  static func obstacle() -> String? {
    let directory = NSTemporaryDirectory()
    let probe = try? ChildProcess(
      ["strace", "-f", "-o", "/dev/null", "true"], directory: directory
    ).wait()
    guard let probe else { return "no strace (make setup-faults)" }
    return probe.code == 0 ? nil : "strace may not trace here"
  }

  /// A command that starts a rank under strace, the log going to `log`.RANK, and other ranks without.
  ///
  /// - Parameters:
  ///   - rank: which rank; nil for all.
  ///   - options: of strace.
  ///   - log: where it writes.
  /// - Returns: the command, to which the program is appended.
  static func wrapper(rank: Int?, _ options: [String], log: String) -> [String] {
    let script = """
      wanted=$1 count=$2 log=$3; shift 3
      if [ "$wanted" != all ] && [ "$wanted" != "${OMPI_COMM_WORLD_RANK:-0}" ]; then
        shift "$count"; exec "$@"
      fi
      exec strace -f -o "$log.${OMPI_COMM_WORLD_RANK:-0}" "$@"
      """
    return ["sh", "-c", script, "sh", rank.map(String.init) ?? "all", String(options.count), log]
      + options
  }

  /// A call that has returned.
  struct Call {
    let process: String
    let name: String
    /// Everything between the parentheses.
    let arguments: String
    /// When it began, in seconds, where times were asked for.
    let time: Double
  }

  /// The calls in a log, with `-ttt` or without.
  static func read(_ path: String) throws -> [Call] {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    var calls: [Call] = []
    for line in text.split(separator: "\n") {
      guard
        let match = line.firstMatch(
          of: /^(\d+) +(?:(\d+\.\d+) )?([a-z0-9_]+)\((.*?)(?:\) += .*| <unfinished \.\.\.>)$/)
      else { continue }
      calls.append(
        Call(
          process: String(match.1), name: String(match.3), arguments: String(match.4),
          time: match.2.flatMap { Double($0) } ?? 0))
    }
    return calls
  }
}
