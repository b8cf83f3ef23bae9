import Files
import Foundation

/// Memory that the machine has left.
enum SpareMemory {
  /// Bytes that may be taken without harm: half of what the machine, or the group of processes that this
  /// one is limited with, has left; 0 when it does not say.
  static var byteCount: Int {
    guard
      let available = lines(of: "/proc/meminfo").first(where: { $0.hasPrefix("MemAvailable:") }),
      let kilobytes = available.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({
        Int($0)
      })
    else { return 0 }
    return max(min(kilobytes * 1024, groupRest ?? .max) / 2, 0)
  }

  /// What a control group of version 2 leaves; nil without a limit.
  private static var groupRest: Int? {
    guard let path = lines(of: "/proc/self/cgroup").first(where: { $0.hasPrefix("0::") }) else {
      return nil
    }
    let group = "/sys/fs/cgroup" + path.dropFirst(3)
    guard let limit = number(group + "/memory.max"), let used = number(group + "/memory.current")
    else { return nil }
    return limit - used
  }

  private static func number(_ path: String) -> Int? {
    lines(of: path).first.flatMap { Int($0) }
  }

  private static func lines(of path: String) -> [Substring] {
    ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n")
  }
}
