import Files
import JSON

/// Reads the rows of a metrics log one after the other, in memory that does not grow with the log.
///
/// Each step is read once: where a step appears again, as in logs that were joined, the row that was written last
/// counts, and rows before it of the same and later steps are passed over. So is what a resumed run would drop: a line
/// torn at the end, and zeros that a crash of the machine left. The log may be that of a run that goes on.
public struct MetricsReader {
  /// Numbers of a row.
  public struct Row: Sendable, Equatable {
    /// The step.
    public var step: Int
    /// The numbers by name, also those that are not finite.
    public var values: [String: Double]
  }

  /// Where the log is.
  public var path: String { lines.file.path }
  private var lines: Lines
  private let names: Set<String>
  private var lastStep = 0
  /// Where the log begins again at a step that it had before, in the order of lines; of each the line, and the
  /// smallest step of this and later ones.
  private var returns: ArraySlice<(line: Int, least: Int)>

  /// Opens a log.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - names: the numbers that are wanted.
  /// - Throws: `MetricsError.file`.
  public init(path: String, names: Set<String>) throws(MetricsError) {
    let file = try MetricsError.from(try MappedFile(path: path))
    file.adviseSequential()
    lines = Lines(file)
    returns = Self.returns(in: lines)
    self.names = names
  }

  /// The next row; nil at the end.
  ///
  /// - Throws: `MetricsError.malformed` for a line that is not a row, and for a step that is not above the one
  ///   before.
  public mutating func next() throws(MetricsError) -> Row? {
    while let (text, isWhole) = unsafe lines.next() {
      while let first = returns.first, first.line <= lines.number { returns.removeFirst() }
      if let row = unsafe row(text) {
        if let later = returns.first, row.step >= later.least { continue }
        if row.step > lastStep {
          lastStep = row.step
          return row
        }
      }
      guard !isWhole else { throw .malformed(path: path, line: lines.number) }
    }
    return nil
  }

  /// Looks through the steps of all lines.
  private static func returns(in lines: Lines) -> ArraySlice<(line: Int, least: Int)> {
    var (lines, last) = (lines, 0)
    var found: [(line: Int, least: Int)] = []
    while let (text, _) = unsafe lines.next() {
      guard let step = unsafe MetricsRow.step(ofLine: text) else { continue }
      if step <= last { found.append((lines.number, step)) }
      last = step
    }
    for index in found.indices.dropLast().reversed() {
      found[index].least = min(found[index].least, found[index + 1].least)
    }
    return found[...]
  }

  /// What a line says; nil if it is no row.
  private func row(_ text: UnsafeRawBufferPointer) -> Row? {
    var row = Row(step: 0, values: [:])
    var cursor = unsafe JSONCursor(text, source: path, firstLine: lines.number)
    do throws(FileError) {
      try cursor.object { (cursor, name) throws(FileError) in
        switch name {
        case "step": row.step = try cursor.unsignedInteger()
        case "nonfinite":
          try cursor.object { (cursor, name) throws(FileError) in
            let value = Double(try cursor.string()) ?? .nan
            if names.contains(name) { row.values[name] = value }
          }
        default:
          let value = try cursor.value()
          // What is not finite is null here and stands at the row's end.
          if names.contains(name) { row.values[name] = value.double ?? .nan }
        }
      }
      try cursor.expectEnd()
    } catch {
      return nil
    }
    return row.step > 0 ? row : nil
  }

  /// The lines of a file, one after the other.
  private struct Lines {
    let file: MappedFile
    /// The number of the line that was read last, from 1.
    private(set) var number = 0
    private var (offset, released) = (0, 0)

    init(_ file: MappedFile) { self.file = file }

    /// The next line that is not all zeros, without those before it, and whether it has an end; nil at the end.
    mutating func next() -> (text: UnsafeRawBufferPointer, isWhole: Bool)? {
      while offset < file.byteCount {
        number += 1
        let rest = unsafe UnsafeRawBufferPointer(rebasing: file.bytes[offset...])
        let end = unsafe rest.firstIndex(of: UInt8(ascii: "\n"))
        let line = unsafe UnsafeRawBufferPointer(rebasing: rest[..<(end ?? rest.count)])
        offset += line.count + 1
        releaseRead()
        let zeros = unsafe line.prefix { $0 == 0 }.count
        if zeros > 0, zeros == line.count { continue }
        return unsafe (UnsafeRawBufferPointer(rebasing: line[zeros...]), end != nil)
      }
      return nil
    }

    /// Lets go of what was read, so that a long log does not stay in memory.
    private mutating func releaseRead() {
      guard offset - released > 1 << 24, offset <= file.byteCount else { return }
      file.releasePages(released..<offset)
      released = offset
    }
  }
}
