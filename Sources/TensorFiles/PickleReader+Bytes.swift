import Files

/// The operands of instructions.
extension PickleReader {
  mutating func byte() throws(FileError) -> UInt8 { try number(UInt8.self) }

  mutating func number<Number: FixedWidthInteger>(
    _: Number.Type
  ) throws(FileError) -> Number {
    let part = try take(MemoryLayout<Number>.size)
    return Number(littleEndian: part.loadUnaligned(as: Number.self))
  }

  mutating func text(_ count: Int) throws(FileError) -> String {
    guard let text = String(validating: try take(count), as: UTF8.self) else {
      throw failure("a text before byte \(position) is not UTF-8")
    }
    return text
  }

  /// The text before the next line break.
  mutating func line() throws(FileError) -> String {
    guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) else { throw isCut }
    defer { position += 1 }
    return try text(end - position)
  }

  /// A number of up to 8 bytes, two's complement.
  mutating func longInteger() throws(FileError) -> Int {
    let count = Int(try byte())
    guard count <= 8 else { throw failure("a number of \(count) bytes is too long") }
    let part = try take(count)
    guard let last = part.last else { return 0 }
    var value = last >= 0x80 ? -1 : 0
    for byte in part.reversed() { value = value << 8 | Int(byte) }
    return value
  }

  private mutating func take(_ count: Int) throws(FileError) -> UnsafeRawBufferPointer {
    guard count <= bytes.count - position else { throw isCut }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)])
  }

  private var isCut: FileError { failure("it ends in the middle") }
}
