/// Remembers the tokens of pieces seen before: a hash table with its own storage.
///
/// When it is full it is emptied, so memory stays bounded and follows the text.
struct PieceCache {
  private struct Slot {
    var hash: UInt64 = 0
    var keyOffset: UInt32 = 0
    var keyLength: UInt32 = 0
    var valueOffset: UInt32 = 0
    var valueLength: UInt32 = 0
  }

  /// Longer pieces are not remembered.
  static let longestPiece = 64

  private static let size = 1 << 17
  private var slots = [Slot](repeating: Slot(), count: size)
  private var keys: [UInt8] = []
  private var values: [Int32] = []
  private var count = 0

  /// A hash of a piece, never 0.
  @inline(__always)
  static func hash(_ piece: UnsafeBufferPointer<UInt8>) -> UInt64 {
    var hash = UInt64(piece.count) &* 0x9E37_79B9_7F4A_7C15
    let raw = UnsafeRawBufferPointer(piece)
    var offset = 0
    while offset + 8 <= raw.count {
      let word = raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      hash = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
      hash ^= hash >> 29
      offset += 8
    }
    var word: UInt64 = 0
    while offset < raw.count {
      word = word << 8 | UInt64(raw[offset])
      offset += 1
    }
    hash = (hash ^ word) &* 0xBF58_476D_1CE4_E5B9
    hash ^= hash >> 32
    return hash | 1
  }

  /// Appends the piece's tokens to `output` if they are known.
  @inline(__always)
  func find(
    _ piece: UnsafeBufferPointer<UInt8>, hash: UInt64, appendingTo output: inout [Int32]
  ) -> Bool {
    var index = Int(truncatingIfNeeded: hash >> 1) & (Self.size - 1)
    while slots[index].hash != 0 {
      let slot = slots[index]
      if slot.hash == hash, slot.keyLength == piece.count, matches(slot, piece) {
        values.withUnsafeBufferPointer { values in
          let start = Int(slot.valueOffset)
          for i in start..<(start + Int(slot.valueLength)) { output.append(values[i]) }
        }
        return true
      }
      index = (index + 1) & (Self.size - 1)
    }
    return false
  }

  @inline(__always)
  private func matches(_ slot: Slot, _ piece: UnsafeBufferPointer<UInt8>) -> Bool {
    keys.withUnsafeBufferPointer { keys in
      let start = Int(slot.keyOffset)
      for i in 0..<piece.count where keys[start + i] != piece[i] { return false }
      return true
    }
  }

  /// Remembers the tokens of a piece that `find` did not find.
  mutating func insert(_ piece: UnsafeBufferPointer<UInt8>, hash: UInt64, tokens: [Int32]) {
    if count >= Self.size / 2 { self = PieceCache() }
    var index = Int(truncatingIfNeeded: hash >> 1) & (Self.size - 1)
    while slots[index].hash != 0 { index = (index + 1) & (Self.size - 1) }
    slots[index] = Slot(
      hash: hash, keyOffset: UInt32(keys.count), keyLength: UInt32(piece.count),
      valueOffset: UInt32(values.count), valueLength: UInt32(tokens.count))
    keys.append(contentsOf: piece)
    values.append(contentsOf: tokens)
    count += 1
  }
}
