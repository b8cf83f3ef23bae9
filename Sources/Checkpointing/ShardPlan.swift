import TensorFiles
import TensorStorage

/// Which checkpoint a shard belongs to, and which shard it is.
struct ShardIdentity: Equatable {
  let runID: String
  let step: Int
  let index: Int
  let count: Int

  static let format = "statex-shard/1"

  /// The `__metadata__` of the shard's header.
  var metadata: [String: String] {
    [
      "format": "pt", "statex_format": Self.format, "run_id": runID, "step": "\(step)",
      "shard": "\(index)", "shards": "\(count)",
    ]
  }

  var fileName: String { Self.fileName(index: index, count: count) }

  /// For example `shard-00000-of-00008.safetensors.zst`.
  static func fileName(index: Int, count: Int) -> String {
    "shard-\(zeroPadded(index, 5))-of-\(zeroPadded(count, 5)).safetensors.zst"
  }
}

/// `number` in at least `width` decimal digits.
func zeroPadded(_ number: Int, _ width: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(width - digits.count, 0)) + digits
}

/// What exactly a shard holds: a function of its identity, the layout and the stores' names, so the
/// reader can demand it byte for byte.
struct ShardPlan {
  /// The part of one tensor of one store that lies in the shard.
  struct Piece {
    /// Index into the list of stores.
    let store: Int
    /// Elements of the arena.
    let range: Range<Int>
    /// First byte in the uncompressed shard.
    let byteOffset: Int

    /// Bytes in the uncompressed shard.
    var byteRange: Range<Int> {
      byteOffset..<(byteOffset + range.count * MemoryLayout<Float>.stride)
    }
  }

  let header: SafetensorsHeader

  /// The pieces in the order of their bytes; piece `i` is tensor `i` of the header.
  let pieces: [Piece]

  /// Elements of the arena, padding included.
  let range: Range<Int>

  init(identity: ShardIdentity, layout: ParameterLayout, stores: [String]) {
    range = ShardPartition.range(of: identity.index, shards: identity.count, count: layout.count)
    var entries: [SafetensorsHeader.Entry] = []
    var parts: [(store: Int, range: Range<Int>)] = []
    for (store, storeName) in stores.enumerated() {
      for slot in layout.slots where slot.range.overlaps(range) {
        let part = slot.range.clamped(to: range)
        let name =
          part == slot.range
          ? slot.name
          : "\(slot.name)[\(part.lowerBound - slot.offset):\(part.upperBound - slot.offset)]"
        entries.append(
          .init(name: "\(storeName)/\(name)", dataType: .float32, shape: [part.count]))
        parts.append((store, part))
      }
    }
    let header = SafetensorsHeader(
      laidOut: entries, metadata: identity.metadata, order: .asGiven)
    self.header = header
    pieces = zip(parts, header.tensors).map { part, tensor in
      Piece(
        store: part.store, range: part.range,
        byteOffset: header.fileRange(of: tensor).lowerBound)
    }
  }
}
