/// The ids with which merging starts.
struct SymbolTable: Sendable {
  /// What a symbol is.
  private enum Units: Sendable {
    /// A byte; -1 where the vocabulary lacks it.
    case bytes([Int32])
    /// A Unicode scalar.
    case scalars(ScalarTable)
  }

  /// What becomes of a symbol that the vocabulary lacks.
  struct Unknown: Sendable {
    /// The ids of the 256 byte tokens, `<0x00>` first, -1 where there is none; empty: not used.
    var byteTokens: [Int32] = []
    /// The id of the unknown token; nil: the symbol is left out.
    var token: Int32?
    /// Whether neighbouring unknown symbols become one unknown token.
    var fuses = false
  }

  private let units: Units
  private let unknown: Unknown

  /// One symbol a byte.
  init(bytes: [Int32], unknown: Unknown) {
    units = .bytes(bytes)
    self.unknown = unknown
  }

  /// One symbol a scalar.
  init(scalars: ScalarTable, unknown: Unknown) {
    units = .scalars(scalars)
    self.unknown = unknown
  }

  /// Overwrites `result` with the first symbols of `piece`.
  func symbols(of piece: UnsafeBufferPointer<UInt8>, into result: inout [Int32]) {
    result.removeAll(keepingCapacity: true)
    // Unknown symbols that wait to be written: one, or fused ones.
    var pending = false
    switch units {
    case .bytes(let ids):
      for byte in piece {
        let id = ids[Int(byte)]
        if id >= 0 {
          flush(&pending, to: &result)
          result.append(id)
        } else {
          addUnknown(UnsafeBufferPointer(start: nil, count: 0), &pending, to: &result)
        }
      }
    case .scalars(let table):
      var offset = 0
      while offset < piece.count {
        let (value, length) = UTF8Scalars.decode(piece, offset)
        let id = table[value]
        if id >= 0 {
          flush(&pending, to: &result)
          result.append(id)
        } else {
          let bytes = UnsafeBufferPointer(rebasing: piece[offset..<(offset + length)])
          addUnknown(bytes, &pending, to: &result)
        }
        offset += length
      }
    }
    flush(&pending, to: &result)
  }

  private func flush(_ pending: inout Bool, to result: inout [Int32]) {
    guard pending, let token = unknown.token else { return }
    result.append(token)
    pending = false
  }

  /// An unknown symbol: its bytes' tokens, which overtake the ones that wait, or the unknown token.
  private func addUnknown(
    _ bytes: UnsafeBufferPointer<UInt8>, _ pending: inout Bool, to result: inout [Int32]
  ) {
    let tokens = unknown.byteTokens
    if !tokens.isEmpty, !bytes.isEmpty, bytes.allSatisfy({ tokens[Int($0)] >= 0 }) {
      for byte in bytes { result.append(tokens[Int(byte)]) }
      return
    }
    guard unknown.token != nil else { return }
    if pending && !unknown.fuses { flush(&pending, to: &result) }
    pending = true
  }
}

/// Ids of single scalars.
struct ScalarTable: Sendable {
  private var basic = [Int32](repeating: -1, count: 1 << 16)
  private var others: [UInt32: Int32] = [:]

  /// The id of a scalar, or -1.
  subscript(value: UInt32) -> Int32 {
    get { value < 1 << 16 ? basic[Int(value)] : others[value] ?? -1 }
    set {
      if value < 1 << 16 { basic[Int(value)] = newValue } else { others[value] = newValue }
    }
  }
}
