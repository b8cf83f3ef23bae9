import Files
import Foundation

/// Writes scalars to a TensorBoard event file, a new one for each start of a run.
///
/// After a resumption at step `s` TensorBoard shows the earlier files up to `s` and this one from
/// there: the file begins with a session start that makes readers forget later steps.
public struct TensorBoardWriter: ~Copyable {
  private var file: AppendedFile

  /// Where the event file is.
  public var path: String { file.path }

  /// Starts a new event file for the steps after `step`, 0 for a new run.
  ///
  /// - Parameters:
  ///   - directory: made if absent; TensorBoard's `--logdir`.
  ///   - step: the last step that is kept of earlier files.
  ///   - wallTime: seconds since 1970.
  /// - Throws: `MetricsError.file`.
  public init(
    directory: String, resumingAfter step: Int, wallTime: Double = Date().timeIntervalSince1970
  ) throws(MetricsError) {
    file = try MetricsError.from { () throws(FileError) in
      try FileSystem.createDirectories(directory)
      var file = try AppendedFile(path: try Self.newPath(in: directory, wallTime: wallTime))
      try file.append(TensorBoardEvent(wallTime: wallTime, step: 0, .version).record)
      try file.append(TensorBoardEvent(wallTime: wallTime, step: step + 1, .start).record)
      return file
    }
  }

  /// Writes a row's numbers under their names.
  public mutating func append(
    _ row: MetricsRow, wallTime: Double = Date().timeIntervalSince1970
  ) throws(MetricsError) {
    try append(row.scalars, step: row.step, wallTime: wallTime)
  }

  /// Writes numbers of a step under their names.
  public mutating func append(
    _ scalars: [(name: String, value: Double)], step: Int,
    wallTime: Double = Date().timeIntervalSince1970
  ) throws(MetricsError) {
    let tagged = scalars.map { (tag: $0.name, value: Float($0.value)) }
    let event = TensorBoardEvent(wallTime: wallTime, step: step, .scalars(tagged))
    try MetricsError.from(try file.append(event.record))
  }

  /// Returns once every record is on the disk.
  public func synchronize() throws(MetricsError) {
    try MetricsError.from(try file.synchronize())
  }

  /// A name that sorts after those of earlier starts: TensorBoard reads files in the order of names.
  private static func newPath(
    in directory: String, wallTime: Double
  ) throws(FileError) -> String {
    let stem = "events.out.tfevents."
    let existing = try FileSystem.list(directory)
    let times = existing.filter { $0.hasPrefix(stem) }.compactMap {
      Int($0.dropFirst(stem.count).prefix { $0 != "." })
    }
    // The clock may have been set back.
    let time = padded(max(Int(wallTime), times.max() ?? 0), to: 10)
    let start = "\(stem)\(time)."
    var index = existing.count { $0.hasPrefix(start) }
    let process = ProcessInfo.processInfo.processIdentifier
    while true {
      let path = "\(directory)/\(start)\(padded(index, to: 3)).\(hostName).\(process)"
      if !existing.contains(FileSystem.name(of: path)) { return path }
      index += 1
    }
  }

  private static func padded(_ number: Int, to width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  private static var hostName: String {
    let name = try? String(contentsOfFile: "/proc/sys/kernel/hostname", encoding: .utf8)
    let kept = (name ?? "").filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "." }
    return kept.isEmpty ? "localhost" : kept
  }
}
