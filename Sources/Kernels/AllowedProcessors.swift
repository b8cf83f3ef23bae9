import Foundation

/// The processors that the operating system lets this process run on, and how much of them.
public struct AllowedProcessors: Sendable, Equatable, Codable {
  /// The machine's name.
  public let host: String
  /// The numbers of the processors that this process may run on.
  public let mask: Set<Int>
  /// How many the machine, or the container or job that the process is in, has.
  public let available: Int
  /// Limits on processor time, from the process's own control group outward.
  public let quotas: [ProcessorQuota]

  /// Names the parts.
  public init(host: String, mask: Set<Int>, available: Int, quotas: [ProcessorQuota]) {
    (self.host, self.mask, self.available, self.quotas) = (host, mask, available, quotas)
  }

  /// How many threads can run at a time: processors, or fewer where a quota allows less.
  public var count: Int {
    max(1, min(mask.count, quotas.map { Int($0.processors) }.min() ?? Int.max))
  }

  /// This process's, as they are now.
  public static func current() -> AllowedProcessors {
    let online = max(1, ProcessInfo.processInfo.activeProcessorCount)
    let status = text("/proc/self/status") ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    let mask = line.flatMap { numbers($0.dropFirst("Cpus_allowed_list:".count)) }
    let groups = ControlGroups(
      memberships: text("/proc/self/cgroup") ?? "", mounts: text("/proc/self/mountinfo") ?? "",
      read: text)
    return AllowedProcessors(
      host: ProcessInfo.processInfo.hostName, mask: mask ?? Set(0..<online),
      available: groups.processors().map(\.count) ?? online, quotas: groups.quotas())
  }

  private static func text(_ path: String) -> String? {
    try? String(contentsOfFile: path, encoding: .utf8)
  }

  /// The numbers in a list such as `0-3,8`; nil for anything else.
  public static func numbers(_ list: some StringProtocol) -> Set<Int>? {
    var numbers: Set<Int> = []
    for part in String(list).filter({ !$0.isWhitespace }).split(separator: ",") {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, last >= first,
        last < 1 << 20
      else { return nil }
      numbers.formUnion(first...last)
    }
    return numbers.isEmpty ? nil : numbers
  }
}

/// A limit on the processor time of all processes in a control group.
public struct ProcessorQuota: Sendable, Equatable, Codable {
  /// The group's directory: processes with the same one share the quota.
  public let group: String
  /// Processors' worth of time, above 0.
  public let processors: Double

  /// Names the parts.
  public init(group: String, processors: Double) {
    (self.group, self.processors) = (group, processors)
  }
}

/// The control groups that a process is in, of both versions of the kernel's interface.
///
/// Limits of every group up to the root of the hierarchy count, since each bounds those inside it.
public struct ControlGroups {
  private let memberships: String
  private let mounts: String
  private let read: (_ path: String) -> String?

  /// Remembers what the kernel says.
  ///
  /// - Parameters:
  ///   - memberships: `/proc/self/cgroup`.
  ///   - mounts: `/proc/self/mountinfo`.
  ///   - read: a file's text, nil if it cannot be read.
  public init(
    memberships: String, mounts: String, read: @escaping (_ path: String) -> String?
  ) {
    (self.memberships, self.mounts, self.read) = (memberships, mounts, read)
  }

  /// The quotas of all groups that have one, from the inside outward.
  public func quotas() -> [ProcessorQuota] {
    directories("cpu").flatMap { chain in
      chain.compactMap { directory in
        quota(directory).map { ProcessorQuota(group: directory, processors: $0) }
      }
    }
  }

  /// The processors that the innermost group with such a list may use; nil if there is none.
  public func processors() -> Set<Int>? {
    for directory in directories("cpuset").joined() {
      for file in ["cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"] {
        if let list = read(directory + "/" + file), let set = AllowedProcessors.numbers(list) {
          return set
        }
      }
    }
    return nil
  }

  /// Processors' worth of time: `cpu.max` of version 2, `cpu.cfs_quota_us` of version 1.
  private func quota(_ directory: String) -> Double? {
    func microseconds(_ file: String) -> [Double?] {
      (read(directory + "/" + file) ?? "").split(whereSeparator: \.isWhitespace).map { Double($0) }
    }
    var (limit, period): (Double?, Double?) = (nil, nil)
    if case let values = microseconds("cpu.max"), values.count == 2 {
      (limit, period) = (values[0], values[1])
    } else {
      limit = microseconds("cpu.cfs_quota_us").first ?? nil
      period = microseconds("cpu.cfs_period_us").first ?? nil
    }
    guard let limit, let period, limit > 0, period > 0 else { return nil }
    return limit / period
  }

  /// For each hierarchy with that controller, the directories from the process's group to the root.
  private func directories(_ controller: String) -> [[String]] {
    memberships.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { return nil }
      let controllers = fields[1].split(separator: ",")
      let isSecondVersion = fields[0] == "0" && controllers.isEmpty
      guard isSecondVersion || controllers.contains(Substring(controller)) else { return nil }
      return chain(String(fields[2]), isSecondVersion ? nil : controller)
    }
  }

  /// The directories of a group and those around it, as far as they can be seen from here.
  private func chain(_ group: String, _ controller: String?) -> [String]? {
    for line in mounts.split(separator: "\n") {
      // 36 35 98:0 ROOT POINT options ... - TYPE source super-options
      let halves = line.components(separatedBy: " - ")
      let (fields, types) = (
        halves[0].split(separator: " "), halves.last?.split(separator: " ") ?? []
      )
      guard halves.count == 2, fields.count >= 5, let type = types.first else { continue }
      if let controller {
        guard type == "cgroup",
          types.last?.split(separator: ",").contains(Substring(controller)) == true
        else { continue }
      } else if type != "cgroup2" {
        continue
      }
      let (root, point) = (String(fields[3]), String(fields[4]))
      // A container may see its own group as the root, and a path that leads outside.
      let inside =
        group.hasPrefix(root) ? String(group.dropFirst(root == "/" ? 0 : root.count)) : ""
      var names = inside.split(separator: "/").map(String.init)
      if names.contains("..") { names = [] }
      return (0...names.count).reversed().map { count in
        ([point] + names.prefix(count)).joined(separator: "/")
      }
    }
    return nil
  }
}
