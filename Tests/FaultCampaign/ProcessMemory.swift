import Foundation

/// The memory of another process, as `/proc` shows it.
struct ProcessMemory {
  private let process: pid_t
  private let file: Int32

  /// Opens it.
  ///
  /// - Throws: `CampaignError` when the system does not let this process write it.
  init(of process: pid_t) throws {
    self.process = process
    file = open("/proc/\(process)/mem", O_RDWR)
    guard file >= 0 else {
      throw CampaignError(description: "the memory of process \(process) may not be written")
    }
  }

  /// Closes it.
  func close() { Foundation.close(file) }

  /// Addresses in memory of the process's own at which these bytes stand.
  func addresses(of bytes: [UInt8]) -> [UInt64] {
    let wanted = Data(bytes)
    return regions().flatMap { region -> [UInt64] in
      guard let found = read(region) else { return [] }
      var hits: [UInt64] = []
      var rest = 0..<found.count
      while let hit = found.range(of: wanted, in: rest) {
        hits.append(region.lowerBound + UInt64(hit.lowerBound))
        rest = (hit.lowerBound + 1)..<found.count
      }
      return hits
    }
  }

  /// Overwrites memory.
  func write(_ bytes: [UInt8], at address: UInt64) -> Bool {
    bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, off_t(address)) } == bytes.count
  }

  /// What can be written and belongs to no file.
  private func regions() -> [Range<UInt64>] {
    let maps = (try? String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8)) ?? ""
    return maps.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count > 4, fields[1].hasPrefix("rw"), fields[4] == "0" else { return nil }
      let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
      guard ends.count == 2, ends[1] - ends[0] < 1 << 30 else { return nil }
      return ends[0]..<ends[1]
    }
  }

  private func read(_ region: Range<UInt64>) -> Data? {
    var bytes = Data(count: region.count)
    let count = bytes.withUnsafeMutableBytes {
      pread(file, $0.baseAddress, $0.count, off_t(region.lowerBound))
    }
    return count == bytes.count ? bytes : nil
  }
}
