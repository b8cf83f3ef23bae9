/// Cuts normalised text into pieces that are encoded one by one: the pre-tokenizers of a
/// `tokenizer.json`.
struct PreTokenizer: Sendable {
  /// When a marker is put in front of a piece.
  enum Prepending: String, Sendable {
    case always, first, never
  }

  /// One step; each cuts or changes the pieces of the one before.
  enum Step: Sendable {
    case split(TextSplitter)
    /// Puts a space in front of a piece that has none.
    case prefixSpace
    /// Turns spaces into a marker, and puts one in front of a piece that has none.
    case markSpaces(marker: [UInt8], Prepending)
  }

  let steps: [Step]
  /// Whether a piece's bytes are the model's characters, as `ByteLevel` makes them.
  let isByteLevel: Bool

  /// Calls `piece` with each piece of `bytes`, in order.
  ///
  /// - Parameters:
  ///   - bytes: a stretch of normalised text.
  ///   - isFirst: whether nothing stands before it.
  ///   - piece: called with the bytes of each piece, valid during the call; never empty.
  @inline(__always)
  func split(
    _ bytes: UnsafeBufferPointer<UInt8>, isFirst: Bool,
    piece: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    // The usual case, without a call through another closure.
    if steps.count == 1, case .split(let splitter) = steps[0] {
      splitter.split(bytes) { piece(UnsafeBufferPointer(rebasing: bytes[$0])) }
    } else {
      run(0, bytes, isFirst: isFirst, piece)
    }
  }

  private func run(
    _ index: Int, _ bytes: UnsafeBufferPointer<UInt8>, isFirst: Bool,
    _ piece: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    guard index < steps.count else {
      if !bytes.isEmpty { piece(bytes) }
      return
    }
    switch steps[index] {
    case .split(let splitter):
      splitter.split(bytes) { range in
        let isFirst = isFirst && range.lowerBound == 0
        run(index + 1, UnsafeBufferPointer(rebasing: bytes[range]), isFirst: isFirst, piece)
      }
    case .prefixSpace where bytes.isEmpty || bytes[0] == 0x20:
      run(index + 1, bytes, isFirst: isFirst, piece)
    case .prefixSpace:
      ([0x20] + bytes).withUnsafeBufferPointer { run(index + 1, $0, isFirst: isFirst, piece) }
    case .markSpaces(let marker, let prepending):
      Self.marked(bytes, marker, prepending, isFirst: isFirst).withUnsafeBufferPointer {
        run(index + 1, $0, isFirst: isFirst, piece)
      }
    }
  }

  private static func marked(
    _ bytes: UnsafeBufferPointer<UInt8>, _ marker: [UInt8], _ prepending: Prepending, isFirst: Bool
  ) -> [UInt8] {
    guard let first = bytes.first else { return [] }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count + bytes.count / 2 + marker.count)
    let isMarked = first == 0x20 || bytes.starts(with: marker)
    if !isMarked, prepending == .always || prepending == .first && isFirst { result += marker }
    for byte in bytes {
      if byte == 0x20 { result += marker } else { result.append(byte) }
    }
    return result
  }
}

/// Where a stretch of text can be cut in front of U+2581 because no merge reaches across.
///
/// Texts that no pre-tokenizer splits would otherwise be one piece each, and none would be remembered.
struct WordCuts: Sendable {
  /// The UTF-8 bytes of U+2581.
  static let marker: [UInt8] = [0xE2, 0x96, 0x81]

  /// Bytes that a merge joins to a marker behind them.
  private var joining = [Bool](repeating: false, count: 256)

  /// - Parameters:
  ///   - merges: the merges' texts.
  ///   - byte: the byte that a token stands for, if it is a byte token.
  ///   - unknown: the text of the unknown token.
  init(
    merges: [(left: [UInt8], right: [UInt8])], byte: ([UInt8]) -> UInt8?, unknown: [UInt8]?
  ) {
    for merge in merges where merge.right.starts(with: Self.marker) {
      guard merge.left != unknown, let last = merge.left.last else {
        joining = [Bool](repeating: true, count: 256)
        return
      }
      joining[Int(last)] = true
      if let value = byte(merge.left) { joining[Int(value)] = true }
    }
  }

  /// Forbids cuts behind some bytes.
  mutating func keepTogether(_ byte: (UInt8) -> Bool) {
    for value in UInt8.min...UInt8.max where byte(value) { joining[Int(value)] = true }
  }

  /// Calls `piece` with the byte ranges that can be encoded by themselves.
  @inline(__always)
  func split(_ bytes: UnsafeBufferPointer<UInt8>, piece: (Range<Int>) -> Void) {
    joining.withUnsafeBufferPointer { joining in
      var start = 0
      var position = 1
      while position + 2 < bytes.count {
        if bytes[position] == 0xE2, bytes[position + 1] == 0x96, bytes[position + 2] == 0x81,
          !joining[Int(bytes[position - 1])]
        {
          piece(start..<position)
          start = position
        }
        position += 1
      }
      if start < bytes.count { piece(start..<bytes.count) }
    }
  }
}
