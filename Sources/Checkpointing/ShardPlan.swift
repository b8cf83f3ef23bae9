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

/// What exactly a shard holds: a function of its identity, the layout and the stores, so the reader can
/// demand it byte for byte.
struct ShardPlan {
  /// The part of one tensor of one store that lies in the shard.
  struct Piece {
    /// Index into the list of stores.
    let store: Int
    /// Elements of the arena.
    let range: Range<Int>
    /// Bytes in the uncompressed shard.
    let byteRange: Range<Int>
  }

  let header: SafetensorsHeader

  /// The pieces in the order of their bytes; piece `i` is tensor `i` of the header.
  let pieces: [Piece]

  /// Where the first value lies in the uncompressed shard.
  var valueStart: Int { pieces.first?.byteRange.lowerBound ?? header.fileByteCount }

  init(
    identity: ShardIdentity, layout: ParameterLayout, stores: [StoreRecord],
    grain: ArenaPartition.Grain
  ) {
    var entries: [SafetensorsHeader.Entry] = []
    var parts: [(store: Int, range: Range<Int>)] = []
    for (index, store) in stores.enumerated() {
      for range in store.ranges(of: identity.index, shards: identity.count, grain: grain) {
        for slot in layout.slots where slot.range.overlaps(range) {
          let part = slot.range.clamped(to: range)
          let name = Self.name(of: part, in: slot)
          entries.append(
            .init(name: "\(store.name)/\(name)", dataType: store.dataType, shape: [part.count]))
          parts.append((index, part))
        }
      }
    }
    let header = SafetensorsHeader(
      laidOut: entries, metadata: identity.metadata, order: .asGiven)
    self.header = header
    pieces = zip(parts, header.tensors).map { part, tensor in
      Piece(store: part.store, range: part.range, byteRange: header.fileRange(of: tensor))
    }
  }

  private static func name(of part: Range<Int>, in slot: ParameterSlot) -> String {
    part == slot.range
      ? slot.name
      : "\(slot.name)[\(part.lowerBound - slot.offset):\(part.upperBound - slot.offset)]"
  }
}
