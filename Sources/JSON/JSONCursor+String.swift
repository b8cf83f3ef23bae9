import Files

extension JSONCursor {
  /// Reads a string.
  public mutating func string() throws(FileError) -> String {
    guard peek() == UInt8(ascii: "\"") else { throw failure("expected a string") }
    let start = offset + 1
    var end = start
    var hasEscapes = false
    while true {
      guard end < bytes.count else { throw failure("a string without end") }
      let byte = bytes[end]
      if byte == UInt8(ascii: "\"") { break }
      guard byte >= 0x20 else { throw failure("a control character in a string") }
      if byte == UInt8(ascii: "\\") {
        hasEscapes = true
        end += 1
      }
      end += 1
    }
    let raw = bytes[start..<end]
    let value = try hasEscapes ? unescaped(raw) : validated(raw)
    advance(to: end + 1)
    return value
  }

  private func validated(_ raw: some Collection<UInt8>) throws(FileError) -> String {
    if let value = String(validating: raw, as: UTF8.self) { return value }
    guard replacesBadText else { throw failure("a string that is not UTF-8") }
    return String(decoding: raw, as: UTF8.self)
  }

  private func unescaped(_ raw: Slice<UnsafeRawBufferPointer>) throws(FileError) -> String {
    var result: [UInt8] = []
    result.reserveCapacity(raw.count)
    var i = raw.startIndex
    while i < raw.endIndex {
      guard raw[i] == UInt8(ascii: "\\") else {
        result.append(raw[i])
        i += 1
        continue
      }
      let code = raw[i + 1]  // present: the scan above stepped over it
      i += 2
      if code == UInt8(ascii: "u") {
        result.append(contentsOf: String(try unicodeEscape(raw, &i)).utf8)
      } else if let plain = Self.escapes[code] {
        result.append(plain)
      } else {
        throw failure("an unknown escape in a string")
      }
    }
    return try validated(result)
  }

  private static let escapes: [UInt8: UInt8] = [
    0x22: 0x22, 0x5C: 0x5C, 0x2F: 0x2F, 0x62: 0x08, 0x66: 0x0C, 0x6E: 0x0A, 0x72: 0x0D, 0x74: 0x09,
  ]

  /// Decodes the hexadecimal digits of `\uXXXX`, and the pair's second half when it is a surrogate.
  private func unicodeEscape(
    _ raw: Slice<UnsafeRawBufferPointer>, _ i: inout Int
  ) throws(FileError) -> Unicode.Scalar {
    let start = i
    let value = try hexadecimal(raw, &i)
    if let scalar = Unicode.Scalar(value) { return scalar }
    if value < 0xDC00, raw[i...].starts(with: [0x5C, 0x75]) {
      var next = i + 2
      let low = try hexadecimal(raw, &next)
      if (0xDC00..<0xE000).contains(low),
        let scalar = Unicode.Scalar(0x10000 + (value - 0xD800) << 10 + (low - 0xDC00))
      {
        i = next
        return scalar
      }
    }
    guard replacesBadText else {
      let digits = String(decoding: raw[start..<(start + 4)], as: UTF8.self)
      throw failure(
        "a lone surrogate \\u\(digits): half of a pair, which is no character", at: start - 2)
    }
    return "\u{FFFD}"
  }

  private func hexadecimal(
    _ raw: Slice<UnsafeRawBufferPointer>, _ i: inout Int
  ) throws(FileError) -> UInt32 {
    guard i + 4 <= raw.endIndex else { throw failure("a cut \\u escape") }
    var value: UInt32 = 0
    for byte in raw[i..<(i + 4)] {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("a bad \\u escape")
      }
      value = value << 4 | UInt32(digit)
    }
    i += 4
    return value
  }
}

/// Appends `text` as a JSON string, quotes included.
package func appendJSONString(_ text: String, to output: inout [UInt8]) {
  let digits = Array("0123456789abcdef".utf8)
  output.append(0x22)
  for byte in text.utf8 {
    switch byte {
    case 0x22, 0x5C: output += [0x5C, byte]
    case 0x0A: output += [0x5C, 0x6E]
    case 0x00..<0x20:
      output += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    default: output.append(byte)
    }
  }
  output.append(0x22)
}
