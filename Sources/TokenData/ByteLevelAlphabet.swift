/// GPT-2's printable spelling of bytes: byte-level vocabularies are written in it.
enum ByteLevelAlphabet {
  /// The scalar that stands for each byte.
  static let scalars: [Unicode.Scalar] = {
    var result: [Unicode.Scalar] = []
    var extra: UInt32 = 0x100
    for byte in 0..<256 as Range<UInt32> {
      let isPrintable =
        (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      let value = isPrintable ? byte : extra
      if !isPrintable { extra += 1 }
      result.append(Unicode.Scalar(value) ?? " ")
    }
    return result
  }()

  /// The byte that each scalar below U+0144 stands for, or -1.
  private static let inverse: [Int16] = {
    var result = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { result[Int(scalar.value)] = Int16(byte) }
    return result
  }()

  /// The spelling of a byte, in UTF-8.
  static func text(of byte: UInt8) -> [UInt8] { Array(String(scalars[Int(byte)]).utf8) }

  /// The bytes that a spelling stands for; nil where any of it is not spelt so.
  static func bytes(of text: [UInt8]) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    let isSpelling = text.withUnsafeBufferPointer { text in
      var offset = 0
      while offset < text.count {
        let (value, length) = UTF8Scalars.decode(text, offset)
        guard value < 0x144, inverse[Int(value)] >= 0 else { return false }
        result.append(UInt8(inverse[Int(value)]))
        offset += length
      }
      return true
    }
    return isSpelling ? result : nil
  }
}
