import Files
import JSON

/// Reads the rows of a metrics log one after the other, in memory that does not grow with the log.
///
/// What a resumed run would drop is passed over: a line torn at the end, and zeros that a crash of the machine left.
/// The log may be that of a run that goes on.
public struct MetricsReader {
  /// Numbers of a row.
  public struct Row: Sendable, Equatable {
    /// The step.
    public var step: Int
    /// The numbers by name, also those that are not finite.
    public var values: [String: Double]
  }

  /// Where the log is.
  public var path: String { file.path }
  private let file: MappedFile
  private let names: Set<String>
  private var (offset, released) = (0, 0)
  private var (line, lastStep) = (0, 0)

  /// Opens a log.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - names: the numbers that are wanted.
  /// - Throws: `MetricsError.file`.
  public init(path: String, names: Set<String>) throws(MetricsError) {
    file = try MetricsError.from(try MappedFile(path: path))
    file.adviseSequential()
    self.names = names
  }

  /// The next row; nil at the end.
  ///
  /// - Throws: `MetricsError.malformed` for a line that is not a row, and for a step that is not above the one
  ///   before.
  public mutating func next() throws(MetricsError) -> Row? {
    while offset < file.byteCount {
      line += 1
      let rest = unsafe UnsafeRawBufferPointer(rebasing: file.bytes[offset...])
      let end = unsafe rest.firstIndex(of: UInt8(ascii: "\n"))
      let whole = unsafe UnsafeRawBufferPointer(rebasing: rest[..<(end ?? rest.count)])
      offset += whole.count + 1
      releaseRead()
      let zeros = unsafe whole.prefix { $0 == 0 }.count
      if zeros > 0, zeros == whole.count { continue }
      let text = unsafe UnsafeRawBufferPointer(rebasing: whole[zeros...])
      if let row = unsafe row(text), row.step > lastStep {
        lastStep = row.step
        return row
      }
      guard end == nil else { throw .malformed(path: path, line: line) }
    }
    return nil
  }

  /// Lets go of what was read, so that a long log does not stay in memory.
  private mutating func releaseRead() {
    guard offset - released > 1 << 24, offset <= file.byteCount else { return }
    file.releasePages(released..<offset)
    released = offset
  }

  /// What a line says; nil if it is no row.
  private func row(_ text: UnsafeRawBufferPointer) -> Row? {
    var row = Row(step: 0, values: [:])
    var cursor = unsafe JSONCursor(text, source: path, firstLine: line)
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
}
