import Files

/// Little-endian numbers of a mapped file, each read checked against the file's end.
struct ByteReader {
  private let file: MappedFile

  init(_ file: MappedFile) { self.file = file }

  /// The file's size.
  var count: Int { file.byteCount }

  /// An error about the file's contents.
  func failure(_ reason: String) -> FileError {
    .invalid(path: file.path, field: "contents", reason: reason)
  }

  func u16(_ offset: Int) throws(FileError) -> Int { Int(try number(offset, UInt16.self)) }
  func u32(_ offset: Int) throws(FileError) -> Int { Int(try number(offset, UInt32.self)) }

  /// A number below 2^60, so that sums of a few do not overflow.
  func u64(_ offset: Int) throws(FileError) -> Int {
    let value = try number(offset, UInt64.self)
    guard value < 1 << 60 else { throw failure("\(value) is beyond the end of any file") }
    return Int(value)
  }

  func bytes(_ range: Range<Int>) throws(FileError) -> UnsafeRawBufferPointer {
    try file.slice(range, field: "contents")
  }

  private func number<Number: FixedWidthInteger>(
    _ offset: Int, _: Number.Type
  ) throws(FileError) -> Number {
    let width = MemoryLayout<Number>.size
    guard offset >= 0, offset <= count - width else {
      throw failure("there is no byte \(offset): it is truncated or damaged")
    }
    return Number(
      littleEndian: try bytes(offset..<(offset + width)).loadUnaligned(as: Number.self))
  }
}
