/// The merges of a byte-pair encoding: (left id, right id) to rank and merged id.
///
/// An open hash table with linear probing, at most half full.
struct PairTable: Sendable {
  fileprivate struct Entry: Sendable {
    var key: UInt64
    var rank: Int32
    var merged: Int32
  }

  /// A rank worse than any merge's.
  static let none = Int32.max

  private var entries: [Entry]
  private let mask: Int
  fileprivate static let empty = UInt64.max

  init(capacity: Int) {
    var size = 16
    while size < 2 * capacity { size *= 2 }
    entries = [Entry](
      repeating: Entry(key: Self.empty, rank: Self.none, merged: -1), count: size)
    mask = size - 1
  }

  @inline(__always)
  fileprivate static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  fileprivate static func hash(_ key: UInt64) -> Int {
    Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32)
  }

  /// Adds a merge; a later one of the same pair replaces the earlier.
  mutating func insert(_ left: Int32, _ right: Int32, rank: Int32, merged: Int32) {
    let key = Self.key(left, right)
    var slot = Self.hash(key) & mask
    while entries[slot].key != Self.empty, entries[slot].key != key { slot = (slot + 1) & mask }
    entries[slot] = Entry(key: key, rank: rank, merged: merged)
  }

  /// A merge's rank (`none` if there is none) and the id it makes.
  typealias Merge = (rank: Int32, merged: Int32)

  /// The table in memory that stays where it is.
  struct Reader {
    fileprivate let entries: UnsafePointer<Entry>
    fileprivate let mask: Int

    /// The merge of a pair.
    @inline(__always)
    func lookUp(_ left: Int32, _ right: Int32) -> Merge {
      let key = PairTable.key(left, right)
      var slot = PairTable.hash(key) & mask
      while true {
        let entry = entries[slot]
        if entry.key == key { return (entry.rank, entry.merged) }
        if entry.key == PairTable.empty { return (PairTable.none, -1) }
        slot = (slot + 1) & mask
      }
    }
  }

  /// Calls `body` with the table, for many look-ups.
  @inline(__always)
  func withReader<Result>(_ body: (Reader) -> Result) -> Result {
    entries.withUnsafeBufferPointer { entries in
      guard let base = entries.baseAddress else { fatalError("a table has entries") }
      return body(Reader(entries: base, mask: mask))
    }
  }

  /// The merge of a pair.
  @inline(__always)
  func lookUp(_ left: Int32, _ right: Int32) -> Merge {
    withReader { $0.lookUp(left, right) }
  }
}
