import TensorFiles
import TensorStorage

/// How a shard's values are written.
package enum ShardEncoding: String, CaseIterable, Sendable {
  /// As they are: what older versions wrote.
  case plain
  /// Their bytes sorted by significance (`ByteGroups`), a tensor `[bytes of a number, numbers]` each.
  case byteGroups = "byte-groups"

  /// The `statex_format` of the shard's header.
  var format: String {
    switch self {
    case .plain: "statex-shard/1"
    case .byteGroups: "statex-shard/2"
    }
  }

  /// Numbers in one tensor of the shard at most: a piece is taken whole, 8 MiB of floats.
  var longestPiece: Int {
    switch self {
    case .plain: .max
    case .byteGroups: 1 << 21
    }
  }
}

/// Which checkpoint a shard belongs to, and which shard it is.
struct ShardIdentity: Equatable {
  let runID: String
  let step: Int
  let index: Int
  let count: Int
  let encoding: ShardEncoding

  /// The `__metadata__` of the shard's header.
  var metadata: [String: String] {
    [
      "format": "pt", "statex_format": encoding.format, "run_id": runID, "step": "\(step)",
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
    let parts = Self.parts(of: identity, layout, stores, grain)
    let entries = parts.map { part in
      let store = stores[part.store]
      let name = "\(store.name)/\(Self.name(of: part.range, in: layout.slots[part.slot]))"
      switch identity.encoding {
      case .plain:
        return SafetensorsHeader.Entry(
          name: name, dataType: store.dataType, shape: [part.range.count])
      case .byteGroups:
        return SafetensorsHeader.Entry(
          name: name, dataType: .uint8, shape: [store.dataType.byteCount, part.range.count])
      }
    }
    let header = SafetensorsHeader(
      laidOut: entries, metadata: identity.metadata, order: .asGiven)
    self.header = header
    pieces = zip(parts, header.tensors).map { part, tensor in
      Piece(store: part.store, range: part.range, byteRange: header.fileRange(of: tensor))
    }
  }

  /// The same of a manifest that may claim anything; nil if no file of `byteCount` bytes can hold the values, or
  /// they are more tensors than a header may have.
  init?(
    identity: ShardIdentity, layout: ParameterLayout, stores: [StoreRecord],
    grain: ArenaPartition.Grain, fitting byteCount: Int
  ) {
    var (values, count) = (0, 0)
    for store in stores {
      let ranges = store.ranges(of: identity.index, shards: identity.count, grain: grain)
      let elements = ranges.reduce(0) { $0 + $1.count }
      values += elements * store.dataType.byteCount
      count += ranges.count + elements / identity.encoding.longestPiece
    }
    // Each tensor of the layout adds at most one piece to a store.
    count += layout.slots.count * stores.count
    guard values <= byteCount, count <= 2 * SafetensorsHeader.maximumTensorCount else { return nil }
    self.init(identity: identity, layout: layout, stores: stores, grain: grain)
  }

  /// A part of a slot that lies in the shard.
  private typealias Part = (store: Int, slot: Int, range: Range<Int>)

  private static func parts(
    of identity: ShardIdentity, _ layout: ParameterLayout, _ stores: [StoreRecord],
    _ grain: ArenaPartition.Grain
  ) -> [Part] {
    var parts: [Part] = []
    for (index, store) in stores.enumerated() {
      // Slots and ranges both ascend.
      var first = 0
      for range in store.ranges(of: identity.index, shards: identity.count, grain: grain) {
        while first < layout.slots.count, layout.slots[first].range.upperBound <= range.lowerBound {
          first += 1
        }
        for slot in first..<layout.slots.count {
          let elements = layout.slots[slot].range
          guard elements.lowerBound < range.upperBound else { break }
          guard elements.overlaps(range) else { continue }
          for part in pieces(of: elements.clamped(to: range), identity.encoding) {
            parts.append((index, slot, part))
          }
        }
      }
    }
    return parts
  }

  /// Neighbouring elements, cut where they are too many for one tensor.
  private static func pieces(of range: Range<Int>, _ encoding: ShardEncoding) -> [Range<Int>] {
    guard range.count > encoding.longestPiece else { return [range] }
    return stride(from: range.lowerBound, to: range.upperBound, by: encoding.longestPiece).map {
      $0..<min($0 + encoding.longestPiece, range.upperBound)
    }
  }

  private static func name(of part: Range<Int>, in slot: ParameterSlot) -> String {
    part == slot.range
      ? slot.name
      : "\(slot.name)[\(part.lowerBound - slot.offset):\(part.upperBound - slot.offset)]"
  }
}
