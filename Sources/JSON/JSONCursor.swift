import Files

/// A cursor over strict JSON text (RFC 8259), for input that is not to be trusted.
///
/// It accepts nothing but the grammar: no comments, no trailing commas, no control characters in
/// strings, no invalid UTF-8, no lone surrogates, no duplicate keys, at most `maximumDepth` nested
/// values. Memory and time are linear in the text.
public struct JSONCursor {
  /// How deeply arrays and objects may be nested.
  public static let maximumDepth = 64

  /// The next byte to read.
  public private(set) var offset = 0

  /// Names the file in errors.
  public let source: String

  let bytes: UnsafeRawBufferPointer
  let firstLine: Int
  let firstColumn: Int
  let replacesBadText: Bool

  /// Starts at the first byte of `bytes`.
  ///
  /// - Parameters:
  ///   - bytes: the text.
  ///   - source: names the file in errors.
  ///   - firstLine: the number in the file of the text's first line.
  ///   - firstColumn: the number in that line of the text's first byte.
  ///   - replacesBadText: whether bytes in strings that are not UTF-8, and lone surrogates, become U+FFFD
  ///     instead of being refused.
  public init(
    _ bytes: UnsafeRawBufferPointer, source: String, firstLine: Int = 1, firstColumn: Int = 1,
    replacesBadText: Bool = false
  ) {
    self.bytes = bytes
    self.source = source
    self.firstLine = firstLine
    self.firstColumn = firstColumn
    self.replacesBadText = replacesBadText
  }

  /// An error at the present byte, or at byte `position`; lines, and columns in bytes, are counted from 1.
  public func failure(_ reason: String, at position: Int? = nil) -> FileError {
    let offset = position ?? self.offset
    let before = bytes[..<min(offset, bytes.count)]
    let line = before.reduce(firstLine) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
    let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }
    let column = lineStart.map { offset - $0 + 1 } ?? (firstColumn + offset)
    return .invalid(path: source, field: "line \(line), column \(column)", reason: reason)
  }

  /// Skips white space and returns the next byte without consuming it; nil at the end.
  public mutating func peek() -> UInt8? {
    while offset < bytes.count {
      switch bytes[offset] {
      case 0x20, 0x09, 0x0A, 0x0D: offset += 1
      default: return bytes[offset]
      }
    }
    return nil
  }

  /// Consumes `character` after white space if it comes next.
  public mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard peek() == UInt8(ascii: character) else { return false }
    offset += 1
    return true
  }

  /// Consumes `character` after white space.
  public mutating func expect(_ character: Unicode.Scalar) throws(FileError) {
    guard take(character) else { throw failure("expected '\(character)'") }
  }

  /// Requires that only white space is left.
  public mutating func expectEnd() throws(FileError) {
    guard peek() == nil else { throw failure("text after the end of the document") }
  }

  /// Reads an object, calling `member` at each value, whose key is given.
  ///
  /// - Throws: on bad syntax, on a duplicate key, and what `member` throws.
  public mutating func object(
    _ member: (inout JSONCursor, String) throws(FileError) -> Void
  ) throws(FileError) {
    try expect("{")
    guard !take("}") else { return }
    var keys: Set<[UInt8]> = []  // bytes: Unicode-equivalent keys are different keys
    repeat {
      let key = try string()
      guard keys.insert(Array(key.utf8)).inserted else {
        throw failure("duplicate key \"\(abbreviated(key))\"")
      }
      try expect(":")
      try member(&self, key)
    } while take(",")
    try expect("}")
  }

  /// Reads an array, calling `element` at each value.
  public mutating func array(
    _ element: (inout JSONCursor) throws(FileError) -> Void
  ) throws(FileError) {
    try expect("[")
    guard !take("]") else { return }
    repeat { try element(&self) } while take(",")
    try expect("]")
  }

  /// Reads a number that is an integer in 0...Int.max, written without sign, fraction or exponent.
  public mutating func unsignedInteger() throws(FileError) -> Int {
    let literal = try number(allowsNonFinite: false)
    guard let value = Int(literal), value >= 0, literal.utf8.first != UInt8(ascii: "-") else {
      throw failure("\(abbreviated(literal)) is not a whole number in 0...\(Int.max)")
    }
    return value
  }

  /// Reads a number and returns its text.
  ///
  /// - Parameter allowsNonFinite: whether `NaN`, `Infinity` and `-Infinity` count as numbers, as in
  ///   files that Python wrote.
  /// - Returns: the number as it is written.
  /// - Throws: when there is no number here.
  public mutating func number(allowsNonFinite: Bool) throws(FileError) -> String {
    _ = peek()
    let start = offset
    if allowsNonFinite {
      for word in ["NaN", "Infinity", "-Infinity"] where takeWord(word) { return word }
    }
    skip("-")
    if skip("0") == 0 {
      guard skipDigits() > 0 else { throw failure("expected a value") }
    }
    if skip(".") == 1 {
      guard skipDigits() > 0 else { throw failure("a number ends with its point") }
    }
    if skip("e") == 1 || skip("E") == 1 {
      if skip("+") == 0 { skip("-") }
      guard skipDigits() > 0 else { throw failure("a number ends with its exponent sign") }
    }
    guard offset - start <= 400 else { throw failure("a number of \(offset - start) characters") }
    return String(decoding: bytes[start..<offset], as: UTF8.self)
  }

  /// Continues at byte `position`.
  mutating func advance(to position: Int) { offset = position }

  /// Consumes `word` if it comes next.
  mutating func takeWord(_ word: String) -> Bool {
    guard bytes[offset...].starts(with: word.utf8) else { return false }
    offset += word.utf8.count
    return true
  }

  @discardableResult
  private mutating func skip(_ character: Unicode.Scalar) -> Int {
    guard offset < bytes.count, bytes[offset] == UInt8(ascii: character) else { return 0 }
    offset += 1
    return 1
  }

  private mutating func skipDigits() -> Int {
    let start = offset
    while offset < bytes.count, (0x30...0x39).contains(bytes[offset]) { offset += 1 }
    return offset - start
  }
}

/// `text`, cut to a length that fits in an error message.
package func abbreviated(_ text: String) -> String {
  text.count <= 80 ? text : text.prefix(80) + "..."
}
