import Files
import JSON

/// Every measured sample on a line of a file, so that a measurement that was killed goes on where it was.
///
/// The first line says what is measured, of which model. Later lines are samples, in the order in which
/// they were measured. The lead rank reads and writes the file.
public final class SampleLog {
  /// The samples of one measurement at one length.
  struct Key: Hashable {
    let name: String
    let length: Int
  }

  /// Where the file is.
  public let path: String
  /// Samples that were in the file already.
  public let resumedCount: Int

  private let ranks: any EvaluationRanks
  private var known: [Key: [String: SampleRecord]] = [:]
  private var file: AppendedFile?

  /// Opens a log or begins it; collective.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - header: what is measured; the samples of an existing file are used if its header is the same.
  ///   - ranks: who measures.
  /// - Throws: `EvaluationError.sampleLog` for a file with another header or of something else, which is
  ///   left as it is; `FileError`.
  public init(path: String, header: [JSONMember], ranks: any EvaluationRanks) throws {
    self.path = path
    self.ranks = ranks
    let first = JSONValue.object([JSONMember("statex_samples", .integer(1))] + header)
    // Others may not see the same file.
    let contents = try ranks.gather {
      ranks.leads ? try InputFile.contentsIfPresent(of: path) ?? [] : []
    }[0]
    let end = Self.end(of: contents)
    let lines = contents[..<end].split(separator: UInt8(ascii: "\n"))
    if let line = lines.first {
      try Self.requireEqual(JSONValue(line: line), first, path)
    } else if !Array(first.line.utf8).starts(with: contents) {
      throw EvaluationError.sampleLog(path: path, "not a log of samples")
    }
    for sample in try Self.samples(lines, path) {
      let key = Key(name: sample.measure, length: sample.length)
      known[key, default: [:]][sample.record.id.line] = sample.record
    }
    resumedCount = max(lines.count - 1, 0)
    let start = lines.isEmpty ? Array((first.line + "\n").utf8) : Array(contents[..<end])
    _ = try ranks.gather {
      guard ranks.leads else { return [] }
      if start != contents { try FileReplacement.write(start, to: path) }
      file = try AppendedFile(path: path)
      return []
    }
  }

  /// A line of a log.
  public struct Sample: Sendable {
    /// The measurement.
    public let measure: String
    /// Its length; 0 for tasks of files.
    public let length: Int
    /// What the sample gave.
    public let record: SampleRecord
  }

  /// Reads a log.
  ///
  /// - Parameter path: the file.
  /// - Returns: what the first line says, and the samples; nil for a file that is no log.
  /// - Throws: `EvaluationError.sampleLog` for a line that is no sample; `FileError`.
  public static func read(_ path: String) throws -> (header: [JSONMember], samples: [Sample])? {
    let contents = try InputFile.contents(of: path)
    let lines = contents[..<end(of: contents)].split(separator: UInt8(ascii: "\n"))
    guard let first = lines.first, case .object(let header)? = JSONValue(line: first),
      header.first?.name == "statex_samples"
    else { return nil }
    return (header, try samples(lines, path))
  }

  /// Where the last whole line ends.
  private static func end(of contents: [UInt8]) -> Int {
    contents.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
  }

  private static func samples(
    _ lines: [ArraySlice<UInt8>], _ path: String
  ) throws -> [Sample] {
    try lines.enumerated().dropFirst().map { index, line in
      guard let json = JSONValue(line: line), let name = json["measure"]?.string,
        let length = json["length"]?.integer(as: Int.self), let record = SampleRecord(json)
      else {
        throw EvaluationError.sampleLog(path: path, "line \(index + 1) is not a sample")
      }
      return Sample(measure: name, length: length, record: record)
    }
  }

  private static func requireEqual(
    _ found: JSONValue?, _ wanted: JSONValue, _ path: String
  ) throws {
    guard found != wanted else { return }
    guard case .object(let members)? = found, members.first?.name == "statex_samples",
      case .object(let own) = wanted
    else { throw EvaluationError.sampleLog(path: path, "not a log of samples") }
    let names = (own + members).map(\.name)
    let name = names.first { members[$0] != own[$0] } ?? ""
    throw EvaluationError.sampleLog(
      path: path, "holds samples of another measurement (`\(name)` is another)")
  }

  /// The sample of that id, if it was measured already.
  func record(_ key: Key, id: JSONValue) -> SampleRecord? { known[key]?[id.line] }

  /// Appends samples that are not there yet; collective.
  func append(_ records: [SampleRecord], _ key: Key) throws {
    _ = try ranks.gather {
      let head = [
        JSONMember("measure", .string(key.name)), JSONMember("length", .integer(key.length)),
      ]
      let missing = records.filter { record(key, id: $0.id) == nil }
      let text = missing.map { JSONValue.object(head + $0.members).line + "\n" }.joined()
      try file?.append(Array(text.utf8))
      return []
    }
  }
}
