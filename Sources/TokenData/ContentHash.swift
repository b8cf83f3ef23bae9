/// A 64-bit hash of bytes, to notice changed files; not for security.
///
/// Words of 8 bytes are folded in by multiplication and rotation; the length is part of the value.
struct ContentHash {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  /// Folds in `bytes`, and how many there are.
  mutating func combine(_ bytes: UnsafeRawBufferPointer) {
    let words = bytes.count / 8
    for i in 0..<words {
      fold(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * i, as: UInt64.self)))
    }
    var rest: UInt64 = 0
    for byte in bytes[(8 * words)...] { rest = rest << 8 | UInt64(byte) }
    fold(rest)
    fold(UInt64(bytes.count))
  }

  private mutating func fold(_ word: UInt64) {
    value = (value ^ word) &* 0x9E37_79B9_7F4A_7C15
    value = (value << 29 | value >> 35) &+ 0x52DC_E729_38DC_4D2F
  }

  /// Sixteen hexadecimal digits.
  var hexadecimal: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// Tells whether a data set is still the one a run was started with.
///
/// It covers both files' sizes, the whole index, and the first and last MiB of the tokens.
public struct DatasetFingerprint: Sendable, Equatable, Codable, CustomStringConvertible {
  /// Size of the token file in bytes.
  public let tokenBytes: Int

  /// Size of the index file in bytes.
  public let indexBytes: Int

  /// Hash of the index file.
  public let indexHash: String

  /// Hash of the first and the last MiB of the token file.
  public let contentHash: String

  public var description: String { "\(tokenBytes)-\(indexBytes)-\(indexHash)-\(contentHash)" }

  init(tokens: UnsafeRawBufferPointer, index: UnsafeRawBufferPointer) {
    tokenBytes = tokens.count
    indexBytes = index.count
    var indexHash = ContentHash()
    indexHash.combine(index)
    self.indexHash = indexHash.hexadecimal
    let edge = min(tokens.count, 1 << 20)
    var contentHash = ContentHash()
    contentHash.combine(UnsafeRawBufferPointer(rebasing: tokens[..<edge]))
    contentHash.combine(UnsafeRawBufferPointer(rebasing: tokens[(tokens.count - edge)...]))
    self.contentHash = contentHash.hexadecimal
  }
}
