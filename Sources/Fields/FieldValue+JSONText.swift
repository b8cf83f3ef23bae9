import Files
import JSON

extension FieldValue {
  /// Parses a JSON document, every part of which stands on its line.
  ///
  /// - Parameters:
  ///   - bytes: UTF-8 text.
  ///   - file: the file's name, for places and errors.
  /// - Throws: `.invalid` on anything that is not strict JSON (see `JSONCursor`).
  public init(parsingJSON bytes: [UInt8], file: String) throws(FileError) {
    self = try unsafe bytes.withUnsafeBufferPointer { (buffer) throws(FileError) -> FieldValue in
      let text = UnsafeRawBufferPointer(buffer)
      try unsafe GitLFSPointer.refuse(text, source: file)
      var cursor = unsafe JSONCursor(text, source: file)
      var lines = LineCounter(bytes, file: file)
      let value = try cursor.fieldValue(&lines, depth: 0)
      try cursor.expectEnd()
      return value
    }
  }
}

/// Tells the lines of places in a text that are asked for in ascending order.
private struct LineCounter {
  private let text: [UInt8]
  private let file: String
  private var (offset, line) = (0, 1)

  init(_ text: [UInt8], file: String) { (self.text, self.file) = (text, file) }

  mutating func place(of offset: Int) -> FieldPlace {
    for byte in text[self.offset..<offset] where byte == UInt8(ascii: "\n") { line += 1 }
    self.offset = offset
    return .line(file: file, line)
  }
}

extension JSONCursor {
  fileprivate mutating func fieldValue(
    _ lines: inout LineCounter, depth: Int
  ) throws(FileError) -> FieldValue {
    guard depth < Self.maximumDepth else {
      throw failure("more than \(Self.maximumDepth) nested values")
    }
    let next = peek()
    let place = lines.place(of: offset)
    switch next {
    case UInt8(ascii: "{"):
      var entries: [FieldValue.Entry] = []
      try object { (cursor, name) throws(FileError) in
        // The key ends where the cursor stands.
        let place = lines.place(of: cursor.offset)
        let value = try cursor.fieldValue(&lines, depth: depth + 1)
        entries.append(FieldValue.Entry(name, value, place: place))
      }
      return FieldValue(.mapping(entries), place: place)
    case UInt8(ascii: "["):
      var elements: [FieldValue] = []
      try array { (cursor) throws(FileError) in
        elements.append(try cursor.fieldValue(&lines, depth: depth + 1))
      }
      return FieldValue(.list(elements), place: place)
    default: return FieldValue(json: try value(), place: place)
    }
  }
}
