import Foundation

/// Unicode normalisation form C.
enum UnicodeNormalization {
  /// The normalised text, or nil when it is certainly normalised already.
  static func formC(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    var offset = 0
    while offset < bytes.count {
      if bytes[offset] < 0x80 {
        offset += 1
        continue
      }
      let (value, length) = UTF8Scalars.decode(bytes, offset)
      if !isInert(value) {
        let text = String(decoding: bytes, as: UTF8.self)
        return Array(text.precomposedStringWithCanonicalMapping.utf8)
      }
      offset += length
    }
    return nil
  }

  /// Whether a text of such scalars only is in form C; false where it is not certain.
  @inline(__always)
  private static func isInert(_ value: UInt32) -> Bool {
    switch value {
    case 0..<0x300: true
    case 0x400..<0x483: true  // Cyrillic
    case 0x1E00..<0x1E9A: true  // Latin with marks
    case 0x2010..<0x2028: true  // punctuation
    case 0x2030..<0x2060: true
    case 0x20A0..<0x20C0: true  // currencies
    case 0x2500..<0x2700: true  // drawings and symbols
    case 0x3001..<0x302A: true  // CJK punctuation
    case 0x3041..<0x3097: true  // Hiragana
    case 0x30A1..<0x30FB: true  // Katakana
    case 0x4E00..<0xA000: true  // CJK ideographs
    case 0xAC00..<0xD7A4: true  // Hangul syllables
    case 0xFF01..<0xFF9E: true  // full-width forms
    case 0x1F300..<0x1FB00: true  // pictographs
    default: false
    }
  }
}
