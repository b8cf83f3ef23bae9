/// Turns the texts of tokens into one text: the decoders of a `tokenizer.json`.
struct TokenDecoder: Sendable {
  /// One decoder, which gets the tokens that the one before made.
  enum Step: Sendable {
    /// Byte-level spellings become bytes, and all tokens one text.
    case byteLevel
    /// Tokens such as `<0x41>` become bytes; neighbours that are no text become U+FFFD each.
    case byteFallback
    /// All tokens become one.
    case fuse
    /// Markers become spaces, except those in the first token if `dropsFirst`.
    case unmarkSpaces(marker: UInt32, dropsFirst: Bool)
    case replace(Pattern, by: [UInt8])
    /// Drops a character at the ends of each token, at most so often.
    case strip(UInt32, start: Int, stop: Int)
  }

  /// In the order in which they are applied; nil: tokens are joined by spaces.
  let steps: [Step]?

  /// The text of tokens.
  func callAsFunction(_ tokens: [[UInt8]]) -> String {
    guard let steps else {
      return String(decoding: Array(tokens.joined(separator: [0x20])), as: UTF8.self)
    }
    var tokens = tokens
    for step in steps { tokens = Self.apply(step, tokens) }
    return String(decoding: Array(tokens.joined()), as: UTF8.self)
  }

  private static func apply(_ step: Step, _ tokens: [[UInt8]]) -> [[UInt8]] {
    switch step {
    case .byteLevel:
      let bytes = tokens.flatMap { ByteLevelAlphabet.bytes(of: $0) ?? $0 }
      return [Array(String(decoding: bytes, as: UTF8.self).utf8)]
    case .byteFallback: return bytesReplaced(tokens)
    case .fuse: return [Array(tokens.joined())]
    case .unmarkSpaces(let marker, let dropsFirst):
      return tokens.enumerated().map { i, token in
        mapScalars(token) { $0 != marker ? $0 : i == 0 && dropsFirst ? nil : 0x20 }
      }
    case .replace(let pattern, let text):
      let normalizer = TextNormalizer(steps: [.replace(pattern, by: text)])
      return tokens.map { normalizer($0) }
    case .strip(let scalar, let start, let stop):
      return tokens.map { stripped($0, scalar, start: start, stop: stop) }
    }
  }

  private static func bytesReplaced(_ tokens: [[UInt8]]) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var pending: [UInt8] = []
    func flush() {
      if String(validating: pending, as: UTF8.self) != nil {
        result.append(pending)
      } else {
        result += [[UInt8]](repeating: Array("\u{FFFD}".utf8), count: pending.count)
      }
      pending = []
    }
    for token in tokens {
      if let byte = byte(of: token) {
        pending.append(byte)
      } else {
        if !pending.isEmpty { flush() }
        result.append(token)
      }
    }
    if !pending.isEmpty { flush() }
    return result
  }

  /// The byte that `<0xXX>` stands for.
  static func byte(of text: [UInt8]) -> UInt8? {
    guard text.count == 6, text.starts(with: "<0x".utf8), text[5] == UInt8(ascii: ">") else {
      return nil
    }
    return UInt8(String(decoding: text[3..<5], as: UTF8.self), radix: 16)
  }

  private static func mapScalars(_ text: [UInt8], _ change: (UInt32) -> UInt32?) -> [UInt8] {
    var result: [UInt8] = []
    text.withUnsafeBufferPointer { text in
      var offset = 0
      while offset < text.count {
        let (value, length) = UTF8Scalars.decode(text, offset)
        if let value = change(value) { UTF8Scalars.append(value, to: &result) }
        offset += length
      }
    }
    return result
  }

  private static func stripped(
    _ text: [UInt8], _ scalar: UInt32, start: Int, stop: Int
  ) -> [UInt8] {
    text.withUnsafeBufferPointer { text in
      var (low, high) = (0, text.count)
      var (leading, trailing) = (0, 0)
      while leading < start, low < high {
        let (value, length) = UTF8Scalars.decode(text, low)
        if value != scalar { break }
        low += length
        leading += 1
      }
      while trailing < stop, low < high {
        let (value, length) = UTF8Scalars.decodeBefore(text, high)
        if value != scalar { break }
        high -= length
        trailing += 1
      }
      return Array(text[low..<high])
    }
  }
}
