/// Tokens that are cut out of a text before anything else: the leftmost, and the longest of those.
struct AddedTokens: Sendable {
  /// An added token.
  struct Token: Sendable, Equatable {
    let id: Int32
    let content: [UInt8]
    let isSpecial: Bool
    /// Whether it is looked for in the normalised text rather than in the raw one.
    let isNormalized: Bool
    /// Whether it counts only where no word goes on before or behind it.
    var isSingleWord = false
    /// Whether white space before it, or behind it, belongs to it.
    var stripsLeft = false
    var stripsRight = false
  }

  private let tokens: [Token]
  /// The texts to look for: a tree of bytes.
  private var tree: ByteTree
  /// Whether any text begins with these two bytes (or is one byte long).
  private var beginnings = [Bool](repeating: false, count: 1 << 16)

  /// Looks for `texts[i]` to find `tokens[i]`.
  ///
  /// - Returns: nil if two texts are the same.
  init?(_ tokens: [Token], texts: [[UInt8]]) {
    self.tokens = tokens
    tree = ByteTree(byteCount: texts.reduce(0) { $0 + $1.count })
    for (i, text) in texts.enumerated() {
      guard let first = text.first, tree.insert(text, i) else { return nil }
      let seconds = text.count > 1 ? [Int(text[1])] : Array(0..<256)
      for second in seconds { beginnings[Int(first) << 8 | second] = true }
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
    guard !tokens.isEmpty else {
      if !bytes.isEmpty { text(0..<bytes.count) }
      return
    }
    // White space behind a token may hold the next one, which then stands in both.
    var start = 0
    var position = 0
    while let (found, range) = nextMatch(bytes, from: position) {
      position = range.upperBound
      guard let taken = extent(of: found, at: range, in: bytes, from: start) else { continue }
      if start < taken.lowerBound { text(start..<taken.lowerBound) }
      token(found.id)
      start = taken.upperBound
    }
    if start < bytes.count { text(start..<bytes.count) }
  }

  @inline(__always)
  private func nextMatch(
    _ bytes: UnsafeBufferPointer<UInt8>, from start: Int
  ) -> (token: Token, range: Range<Int>)? {
    let candidate = beginnings.withUnsafeBufferPointer { beginnings -> (Int, Int, Int)? in
      var position = start
      while position < bytes.count {
        let second = position + 1 < bytes.count ? Int(bytes[position + 1]) : 0
        if beginnings[Int(bytes[position]) << 8 | second],
          let (index, length) = tree.longestMatch(bytes, at: position)
        {
          return (index, position, length)
        }
        position += 1
      }
      return nil
    }
    return candidate.map { (tokens[$0.0], $0.1..<($0.1 + $0.2)) }
  }

  /// What a token takes out of the text, nil if it does not count here.
  private func extent(
    of token: Token, at range: Range<Int>, in bytes: UnsafeBufferPointer<UInt8>, from start: Int
  ) -> Range<Int>? {
    if token.isSingleWord {
      let isWord = { (value: UInt32) in ScalarSet.wordCharacters.contains(value) }
      let (low, high) = (range.lowerBound, range.upperBound)
      if low > 0, isWord(UTF8Scalars.decodeBefore(bytes, low).value) { return nil }
      if high < bytes.count, isWord(UTF8Scalars.decode(bytes, high).value) { return nil }
    }
    var (low, high) = (range.lowerBound, range.upperBound)
    if token.stripsLeft {
      low = UTF8Scalars.endWithoutSpaces(UnsafeBufferPointer(rebasing: bytes[..<low]))
      low = max(low, start)
    }
    if token.stripsRight { high = UTF8Scalars.endOfSpaces(bytes, from: high) }
    // A token inside the white space of the one before it begins before `start`.
    return min(low, high)..<high
  }
}

/// Texts as a tree, a node for each beginning.
private struct ByteTree: Sendable {
  /// The index of the text that ends at a node, or -1.
  private var ends: [Int32] = [-1]
  /// The node that follows a node and a byte.
  private var children: PairTable

  init(byteCount: Int) { children = PairTable(capacity: byteCount) }

  /// Adds a text; false if it is there already.
  mutating func insert(_ text: [UInt8], _ index: Int) -> Bool {
    var node: Int32 = 0
    for byte in text {
      var next = children.lookUp(node, Int32(byte)).merged
      if next < 0 {
        next = Int32(ends.count)
        children.insert(node, Int32(byte), rank: 0, merged: next)
        ends.append(-1)
      }
      node = next
    }
    guard ends[Int(node)] < 0 else { return false }
    ends[Int(node)] = Int32(index)
    return true
  }

  /// The longest of the texts that stands at `position`.
  func longestMatch(
    _ bytes: UnsafeBufferPointer<UInt8>, at position: Int
  ) -> (index: Int, length: Int)? {
    var node: Int32 = 0
    var result: (Int, Int)?
    for offset in position..<bytes.count {
      node = children.lookUp(node, Int32(bytes[offset])).merged
      if node < 0 { break }
      if ends[Int(node)] >= 0 { result = (Int(ends[Int(node)]), offset - position + 1) }
    }
    return result
  }
}
