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
    var entries: [SafetensorsHeader.Entry] = []
    var parts: [(store: Int, range: Range<Int>)] = []
    for (index, store) in stores.enumerated() {
      for range in store.ranges(of: identity.index, shards: identity.count, grain: grain) {
        for slot in layout.slots where slot.range.overlaps(range) {
          for part in Self.pieces(of: slot.range.clamped(to: range), identity.encoding) {
            let name = "\(store.name)/\(Self.name(of: part, in: slot))"
            switch identity.encoding {
            case .plain:
              entries.append(.init(name: name, dataType: store.dataType, shape: [part.count]))
            case .byteGroups:
              entries.append(
                .init(
                  name: name, dataType: .uint8, shape: [store.dataType.byteCount, part.count]))
            }
            parts.append((index, part))
          }
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
