/// How a SentencePiece-style tokenizer treats spaces: they become U+2581, one may be put in front.
struct SentencePieceSpaces: Sendable, Equatable {
  /// When a U+2581 is put in front of a stretch of text.
  enum Prepend: Sendable, Equatable {
    case never
    /// Always (`Prepend` normaliser).
    case always
    /// Unless the stretch begins with a space (`Metaspace`, scheme `always`).
    case unlessPresent
    /// Unless the stretch begins with a space or is not the text's first (scheme `first`).
    case firstUnlessPresent
  }

  /// The UTF-8 bytes of U+2581.
  static let marker: [UInt8] = [0xE2, 0x96, 0x81]

  var prepend: Prepend
  /// Whether each U+2581 begins a new piece (`Metaspace`, `split`).
  var splitsAtEveryMarker: Bool
  /// Whether no merge crosses from another character to U+2581, so that cutting there is exact.
  var splitsBeforeWords: Bool
  /// Whether decoding drops one leading space.
  var stripsOnDecoding: Bool

  /// Overwrites `result` with the text in which spaces are markers.
  func rewrite(
    _ bytes: UnsafeBufferPointer<UInt8>, isFirst: Bool, into result: inout [UInt8]
  ) {
    result.removeAll(keepingCapacity: true)
    if bytes.isEmpty { return }
    let hasMarker = bytes[0] == 0x20 || bytes.starts(with: Self.marker)
    switch prepend {
    case .never: break
    case .always: result += Self.marker
    case .unlessPresent: if !hasMarker { result += Self.marker }
    case .firstUnlessPresent: if isFirst, !hasMarker { result += Self.marker }
    }
    for byte in bytes {
      if byte == 0x20 { result += Self.marker } else { result.append(byte) }
    }
  }

  /// Calls `piece` with the byte ranges that can be encoded by themselves.
  func split(_ bytes: UnsafeBufferPointer<UInt8>, piece: (Range<Int>) -> Void) {
    guard splitsAtEveryMarker || splitsBeforeWords else {
      if !bytes.isEmpty { piece(0..<bytes.count) }
      return
    }
    var start = 0
    var position = 0
    var afterMarker = false
    while position < bytes.count {
      let isMarker =
        bytes[position] == 0xE2 && bytes[position + 1] == 0x96 && bytes[position + 2] == 0x81
      if isMarker, position > start, splitsAtEveryMarker || !afterMarker {
        piece(start..<position)
        start = position
      }
      afterMarker = isMarker
      position +=
        isMarker ? 3 : bytes[position] < 0x80 ? 1 : UTF8Scalars.decode(bytes, position).length
    }
    if position > start { piece(start..<position) }
  }
}
