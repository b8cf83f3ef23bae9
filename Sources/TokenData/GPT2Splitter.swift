/// Splits text as the GPT-2 pattern does:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
enum GPT2Splitter {
  /// What the pattern distinguishes.
  private enum Class {
    static let other: UInt8 = 0
    static let letter: UInt8 = 1
    static let number: UInt8 = 2
    static let space: UInt8 = 3
  }

  /// The classes of the first two Unicode planes.
  private static let classes: [UInt8] = (0..<0x20000).map { classify(UInt32($0)) }

  private static func classify(_ value: UInt32) -> UInt8 {
    guard let scalar = Unicode.Scalar(value) else { return Class.other }
    if scalar.properties.isWhitespace { return Class.space }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return Class.letter
    case .decimalNumber, .letterNumber, .otherNumber: return Class.number
    default: return Class.other
    }
  }

  /// Calls `piece` with the byte range of each piece of `bytes`, in order.
  static func split(
    _ bytes: UnsafeBufferPointer<UInt8>, piece: (Range<Int>) -> Void
  ) {
    classes.withUnsafeBufferPointer { table in
      let scanner = Scanner(bytes: bytes, table: table)
      var start = 0
      while start < bytes.count {
        let end = scanner.pieceEnd(start)
        piece(start..<end)
        start = end
      }
    }
  }

  private struct Scanner {
    let bytes: UnsafeBufferPointer<UInt8>
    let table: UnsafeBufferPointer<UInt8>

    @inline(__always)
    func classAt(_ offset: Int) -> (kind: UInt8, length: Int) {
      let (value, length) = UTF8Scalars.decode(bytes, offset)
      return (value < 0x20000 ? table[Int(value)] : classify(value), length)
    }

    func pieceEnd(_ start: Int) -> Int {
      let first = bytes[start]
      if first == UInt8(ascii: "'"), let end = contractionEnd(start) { return end }
      let begin = first == 0x20 && start + 1 < bytes.count ? start + 1 : start
      let (kind, length) = classAt(begin)
      guard kind == Class.space else { return runEnd(begin + length, of: kind) }
      return spaceEnd(start)
    }

    private func contractionEnd(_ start: Int) -> Int? {
      guard start + 1 < bytes.count else { return nil }
      switch bytes[start + 1] {
      case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
        return start + 2
      case UInt8(ascii: "r"), UInt8(ascii: "v"):
        return start + 2 < bytes.count && bytes[start + 2] == UInt8(ascii: "e") ? start + 3 : nil
      case UInt8(ascii: "l"):
        return start + 2 < bytes.count && bytes[start + 2] == UInt8(ascii: "l") ? start + 3 : nil
      default: return nil
      }
    }

    @inline(__always)
    private func runEnd(_ start: Int, of kind: UInt8) -> Int {
      var end = start
      while end < bytes.count {
        let (next, length) = classAt(end)
        if next != kind { break }
        end += length
      }
      return end
    }

    /// White space up to the text's end, or all but the last one before other text.
    private func spaceEnd(_ start: Int) -> Int {
      var end = start
      var last = start
      while end < bytes.count {
        let (kind, length) = classAt(end)
        if kind != Class.space { return last > start ? last : end }
        last = end
        end += length
      }
      return end
    }
  }
}
