/// Reading UTF-8 that is known to be valid.
enum UTF8Scalars {
  /// The scalar that starts at `bytes[offset]`, and its length in bytes.
  @inline(__always)
  static func decode(
    _ bytes: UnsafeBufferPointer<UInt8>, _ offset: Int
  ) -> (value: UInt32, length: Int) {
    let first = UInt32(bytes[offset])
    if first < 0x80 { return (first, 1) }
    let second = UInt32(bytes[offset + 1] & 0x3F)
    if first < 0xE0 { return ((first & 0x1F) << 6 | second, 2) }
    let third = UInt32(bytes[offset + 2] & 0x3F)
    if first < 0xF0 { return ((first & 0x0F) << 12 | second << 6 | third, 3) }
    let fourth = UInt32(bytes[offset + 3] & 0x3F)
    return ((first & 0x07) << 18 | second << 12 | third << 6 | fourth, 4)
  }

  /// The scalar that ends at `bytes[offset - 1]`, and its length in bytes.
  static func decodeBefore(
    _ bytes: UnsafeBufferPointer<UInt8>, _ offset: Int
  ) -> (value: UInt32, length: Int) {
    var start = offset - 1
    while bytes[start] & 0xC0 == 0x80 { start -= 1 }
    return decode(bytes, start)
  }

  /// The bytes of the first scalar.
  static func firstCharacter(of text: [UInt8]) -> ArraySlice<UInt8> {
    let next = text.dropFirst().firstIndex { $0 & 0xC0 != 0x80 }
    return text[..<(next ?? text.count)]
  }

  /// The bytes of the last scalar.
  static func lastCharacter(of text: [UInt8]) -> ArraySlice<UInt8> {
    text[(text.lastIndex { $0 & 0xC0 != 0x80 } ?? 0)...]
  }

  /// Appends the UTF-8 of a scalar.
  @inline(__always)
  static func append(_ value: UInt32, to bytes: inout [UInt8]) {
    if value < 0x80 {
      bytes.append(UInt8(value))
    } else if let scalar = Unicode.Scalar(value) {
      bytes.append(contentsOf: UTF8.encode(scalar) ?? .init())
    }
  }

  /// The offset at which white space from `start` on ends.
  static func endOfSpaces(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    var offset = start
    while offset < bytes.count {
      let (value, length) = decode(bytes, offset)
      if !ScalarSet.whiteSpace.contains(value) { break }
      offset += length
    }
    return offset
  }

  /// The offset at which white space at the end of `bytes` begins.
  static func endWithoutSpaces(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
    var offset = bytes.count
    while offset > 0 {
      let (value, length) = decodeBefore(bytes, offset)
      if !ScalarSet.whiteSpace.contains(value) { break }
      offset -= length
    }
    return offset
  }
}
