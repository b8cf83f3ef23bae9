/// The lines of a file, read one by one; a line of a pipe is returned as soon as it is complete.
public struct LineReader {
  /// The longest line in bytes; a longer one is returned in pieces of more than this.
  public var limit: Int
  private let file: InputFile
  private var bytes: [UInt8] = []
  /// Where the next line begins, and up to where no line ends.
  private var (start, searched) = (0, 0)

  /// Reads from the file's position on.
  ///
  /// - Parameters:
  ///   - file: what to read.
  ///   - limit: bytes of a line at most.
  public init(_ file: InputFile, limit: Int) {
    (self.file, self.limit) = (file, limit)
  }

  /// The next line without its line feed, or a piece of more than `limit` bytes of a longer one; nil at
  /// the end.
  ///
  /// - Throws: `.io`.
  public mutating func next() throws(FileError) -> ArraySlice<UInt8>? {
    while true {
      if let end = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { (start, searched) = (end + 1, end + 1) }
        return bytes[start..<end]
      }
      searched = bytes.count
      if searched - start <= limit, try readMore() { continue }
      defer { start = searched }
      return start < searched ? bytes[start..<searched] : nil
    }
  }

  /// Appends what can be read at once; false at the end.
  private mutating func readMore() throws(FileError) -> Bool {
    bytes.removeSubrange(..<start)
    (start, searched) = (0, bytes.count)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { buffer.deallocate() }
    let count = try file.read(into: buffer)
    bytes.append(contentsOf: buffer[..<count])
    return count > 0
  }
}
