import Files
import Foundation

/// Memory of this machine, or of the group of processes that this one is limited with.
enum MachineMemory {
  /// Bytes that may be taken without harm: half of what is left; 0 when the machine does not say.
  static var spare: Int {
    guard let available = kilobytes("MemAvailable:") else { return 0 }
    return max(min(available * 1024, groupRest ?? .max) / 2, 0)
  }

  /// Bytes that there are at all, the swap space among them; nil when the machine does not say.
  static var total: Int? {
    guard let memory = kilobytes("MemTotal:") else { return nil }
    return min((memory + (kilobytes("SwapTotal:") ?? 0)) * 1024, groupLimit ?? .max)
  }

  /// A line of the kernel's report.
  private static func kilobytes(_ name: String) -> Int? {
    lines(of: "/proc/meminfo").first { $0.hasPrefix(name) }
      .flatMap { $0.split(whereSeparator: \.isWhitespace).dropFirst().first }
      .flatMap { Int($0) }.flatMap { (0..<(1 << 50)).contains($0) ? $0 : nil }
  }

  /// The directory of the control group of version 2; nil without one.
  private static var group: String? {
    lines(of: "/proc/self/cgroup").first { $0.hasPrefix("0::") }
      .map { "/sys/fs/cgroup" + $0.dropFirst(3) }
  }

  /// The limit of the group; nil without one.
  private static var groupLimit: Int? { group.flatMap { number($0 + "/memory.max") } }

  /// What the group's limit leaves; nil without one.
  private static var groupRest: Int? {
    guard let group, let limit = groupLimit, let used = number(group + "/memory.current") else {
      return nil
    }
    return limit - used
  }

  private static func number(_ path: String) -> Int? {
    lines(of: path).first.flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
  }

  private static func lines(of path: String) -> [Substring] {
    ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n")
  }
}
