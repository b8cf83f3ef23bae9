import ErrorReporting
import Files
import Foundation

/// The file `metrics.jsonl` of a run: one JSON object for each logged step, in ascending order.
///
/// A run that resumes after step `s` opens the log with that step. Rows of later steps, which the
/// interrupted run wrote and the resumed one will write again, and a line torn by a crash are dropped
/// first, so that no step appears twice. Call `synchronize()` before the checkpoint of a step is
/// committed, so that none is missing. One process writes the log.
public struct MetricsLog: ~Copyable {
  /// Where the log is.
  public let path: String
  /// Rows and torn lines dropped when the log was opened.
  public let droppedRows: Int
  /// Places where a crash of the machine left zeros instead of rows.
  public let zeroedPlaces: Int
  private var file: AppendedFile
  private var lastStep: Int

  /// Opens a log for the steps after `step`, 0 for a new run.
  ///
  /// - Throws: `MetricsError.malformed` for a file that is not a metrics log, which is left unchanged;
  ///   `MetricsError.file`, also when it cannot be read.
  public init(path: String, resumingAfter step: Int) throws(MetricsError) {
    let kept = try Self.dropRows(after: step, in: path)
    file = try MetricsError.from(try AppendedFile(path: path))
    self.path = path
    droppedRows = kept.dropped
    zeroedPlaces = kept.zeroed
    lastStep = kept.lastStep
  }

  /// Drops the rows after a step, and what a crash left torn; a log that is absent stays so.
  ///
  /// - Returns: what the log has then, and what was dropped.
  /// - Throws: as `init`.
  private static func dropRows(after step: Int, in path: String) throws(MetricsError) -> Rows {
    let previous = Data(try MetricsError.from(try InputFile.contentsIfPresent(of: path)) ?? [])
    let kept = try rows(of: previous, path: path, upTo: step)
    if kept.contents != previous {
      try MetricsError.from(try FileReplacement.write([UInt8](kept.contents), to: path))
    }
    return kept
  }

  /// Drops the rows after a step of a log that nothing is appended to yet; one that is absent stays so.
  ///
  /// - Throws: as `init`.
  public static func forget(after step: Int, in path: String) throws(MetricsError) {
    _ = try dropRows(after: step, in: path)
  }

  /// Whether a log has the row of a step; a log that is absent has none.
  ///
  /// - Throws: as `init`.
  public static func hasRow(of step: Int, in path: String) throws(MetricsError) -> Bool {
    let contents = Data(try MetricsError.from(try InputFile.contentsIfPresent(of: path)) ?? [])
    return try rows(of: contents, path: path, upTo: step).lastStep == step
  }

  /// Appends a row whose step must be later than the one before.
  public mutating func append(_ row: MetricsRow) throws(MetricsError) {
    try append(row.json, step: row.step)
  }

  /// Appends a row given as one line of JSON that begins with its step: `{"step": 7, ...}`.
  public mutating func append(_ line: String, step: Int) throws(MetricsError) {
    require(step > lastStep, "step \(step) is logged after step \(lastStep)")
    require(
      MetricsRow.step(ofLine: Data(line.utf8)) == step, "a row begins with its step: \(line)")
    try MetricsError.from(try file.append(Array((line + "\n").utf8)))
    lastStep = step
  }

  /// Returns once every row is on the disk.
  public func synchronize() throws(MetricsError) {
    try MetricsError.from(try file.synchronize())
  }

  /// What a log has up to a step.
  private struct Rows {
    var contents = Data()
    var dropped = 0
    var zeroed = 0
    var lastStep = 0
  }

  /// The rows up to a step; if a step appears twice, the row that was written last counts.
  private static func rows(
    of contents: Data, path: String, upTo step: Int
  ) throws(MetricsError) -> Rows {
    var kept: [(step: Int, line: Data)] = []
    var found = Rows()
    var rest = contents[...]
    var number = 0
    while !rest.isEmpty {
      number += 1
      let whole = rest.prefix { $0 != UInt8(ascii: "\n") }
      rest = rest.dropFirst(whole.count)
      let isTorn = rest.isEmpty
      rest = rest.dropFirst()
      // A crash of the machine may leave zeros where rows were not on the disk yet.
      let line = whole.drop { $0 == 0 }
      if line.count < whole.count { found.zeroed += 1 }
      guard let lineStep = MetricsRow.step(ofLine: line) else {
        if line.isEmpty && !whole.isEmpty { continue }
        guard isTorn else { throw .malformed(path: path, line: number) }
        found.dropped += 1
        break
      }
      while let last = kept.last, last.step >= lineStep {
        kept.removeLast()
        found.dropped += 1
      }
      if lineStep <= step {
        kept.append((lineStep, line))
      } else {
        found.dropped += 1
      }
    }
    found.contents.reserveCapacity(contents.count)
    for (_, line) in kept {
      found.contents.append(line)
      found.contents.append(UInt8(ascii: "\n"))
    }
    found.lastStep = kept.last?.step ?? 0
    return found
  }
}
