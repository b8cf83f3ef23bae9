/// Tokens that are cut out of a text before anything else: the leftmost, and the longest of those.
struct AddedTokens {
  /// An added token.
  struct Token: Sendable, Equatable {
    let id: Int32
    let content: [UInt8]
    let isSpecial: Bool
    /// Whether it is looked for in the normalised text rather than in the raw one.
    let isNormalized: Bool
  }

  /// Tokens by first byte, the longest first.
  private var byFirstByte = [[Token]](repeating: [], count: 256)
  /// Whether any token begins with these two bytes (or is one byte long).
  private var beginnings = [Bool](repeating: false, count: 1 << 16)
  private var count = 0

  init(_ tokens: [Token]) {
    for token in tokens {
      guard let first = token.content.first else { continue }
      byFirstByte[Int(first)].append(token)
      let seconds = token.content.count > 1 ? [Int(token.content[1])] : Array(0..<256)
      for second in seconds { beginnings[Int(first) << 8 | second] = true }
      count += 1
    }
    for i in byFirstByte.indices {
      byFirstByte[i].sort { $0.content.count > $1.content.count }
    }
  }

  /// Cuts `bytes` at the tokens.
  ///
  /// - Parameters:
  ///   - bytes: the text.
  ///   - text: called with each stretch between tokens, never empty.
  ///   - token: called with each token's id.
  func split(
    _ bytes: UnsafeBufferPointer<UInt8>, text: (Range<Int>) -> Void, token: (Int32) -> Void
  ) {
    guard count > 0 else {
      if !bytes.isEmpty { text(0..<bytes.count) }
      return
    }
    beginnings.withUnsafeBufferPointer { beginnings in
      var start = 0
      var position = 0
      while position < bytes.count {
        let second = position + 1 < bytes.count ? Int(bytes[position + 1]) : 0
        guard beginnings[Int(bytes[position]) << 8 | second],
          let found = match(bytes, at: position)
        else {
          position += 1
          continue
        }
        if position > start { text(start..<position) }
        token(found.id)
        position += found.content.count
        start = position
      }
      if position > start { text(start..<position) }
    }
  }

  private func match(_ bytes: UnsafeBufferPointer<UInt8>, at position: Int) -> Token? {
    byFirstByte[Int(bytes[position])].first { token in
      let end = position + token.content.count
      return end <= bytes.count && bytes[position..<end].elementsEqual(token.content)
    }
  }
}
