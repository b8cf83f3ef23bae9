/// Merges the symbols of one piece: the best-ranked pair first, the leftmost of equals.
///
/// Keeps its scratch memory between pieces. Short pieces are searched linearly. Long ones (text without
/// spaces) are first cut between symbols that no merge reaches across; what is long even then is merged
/// with a heap, so that the cost stays `O(n log n)`.
struct BytePairMerger {
  /// Up to this many symbols the linear search is faster.
  private static let linearLimit = 96

  private let table: PairTable
  /// Pairs of symbols that a merge may join, as the end of its left token and the start of its right one.
  private let joints: PairTable
  /// The piece's symbols before, and its tokens after merging.
  var symbols: [Int32] = []
  private var pairs = [PairTable.Merge](
    repeating: (PairTable.none, -1), count: linearLimit)
  private var next: [Int32] = []
  private var previous: [Int32] = []
  private var heap: [UInt64] = []

  private var wholes: [Int32] = []
  private var merged: [Int32] = []

  init(table: PairTable, joints: PairTable) {
    self.table = table
    self.joints = joints
  }

  /// Replaces `symbols` by the piece's tokens.
  mutating func merge() {
    if symbols.count < 2 { return }
    if symbols.count <= Self.linearLimit { mergeLinearly() } else { mergeParts() }
  }

  private mutating func mergeParts() {
    swap(&symbols, &wholes)
    merged.removeAll(keepingCapacity: true)
    var start = 0
    while start < wholes.count {
      var end = start + 1
      while end < wholes.count,
        joints.lookUp(wholes[end - 1], wholes[end]).rank != PairTable.none
      { end += 1 }
      symbols.removeAll(keepingCapacity: true)
      symbols += wholes[start..<end]
      if symbols.count <= Self.linearLimit { mergeLinearly() } else { mergeWithHeap() }
      merged += symbols
      start = end
    }
    swap(&symbols, &merged)
  }

  private mutating func mergeLinearly() {
    let count = symbols.count
    if count < 2 { return }
    let left = symbols.withUnsafeMutableBufferPointer { symbols in
      pairs.withUnsafeMutableBufferPointer { pairs in
        table.withReader { Self.merge(symbols, pairs, $0) }
      }
    }
    symbols.removeLast(count - left)
  }

  /// Merges symbols in place; `pairs` holds the merge of each symbol with the next.
  ///
  /// - Returns: how many are left.
  private static func merge(
    _ symbols: UnsafeMutableBufferPointer<Int32>,
    _ pairs: UnsafeMutableBufferPointer<PairTable.Merge>, _ table: PairTable.Reader
  ) -> Int {
    var last = symbols.count - 1
    for i in 0..<last { pairs[i] = table.lookUp(symbols[i], symbols[i + 1]) }
    while true {
      var best = PairTable.none
      var place = 0
      for i in 0..<last where pairs[i].rank < best {
        best = pairs[i].rank
        place = i
      }
      if best == PairTable.none { return last + 1 }
      symbols[place] = pairs[place].merged
      last -= 1
      for i in place..<last {
        symbols[i + 1] = symbols[i + 2]
        pairs[i] = pairs[i + 1]
      }
      if place > 0 { pairs[place - 1] = table.lookUp(symbols[place - 1], symbols[place]) }
      if place < last { pairs[place] = table.lookUp(symbols[place], symbols[place + 1]) }
    }
  }

  /// A removed symbol.
  private static let removed: Int32 = -1

  private mutating func mergeWithHeap() {
    let count = symbols.count
    next = (0..<Int32(count)).map { $0 + 1 }
    previous = (0..<Int32(count)).map { $0 - 1 }
    heap.removeAll(keepingCapacity: true)
    for i in 0..<(count - 1) { push(i) }
    while let entry = popSmallest() {
      let left = Int(UInt32(truncatingIfNeeded: entry))
      if symbols[left] == Self.removed { continue }
      let right = Int(next[left])
      guard right < count else { continue }
      let (rank, merged) = table.lookUp(symbols[left], symbols[right])
      // The pair may have changed since it was put on the heap.
      if UInt64(UInt32(bitPattern: rank)) != entry >> 32 || rank == PairTable.none { continue }
      symbols[left] = merged
      symbols[right] = Self.removed
      next[left] = next[right]
      if Int(next[right]) < count { previous[Int(next[right])] = Int32(left) }
      push(left)
      if previous[left] >= 0 { push(Int(previous[left])) }
    }
    symbols.removeAll { $0 == Self.removed }
  }

  /// Puts the pair that begins at symbol `left` on the heap if it can be merged.
  private mutating func push(_ left: Int) {
    let right = Int(next[left])
    guard right < symbols.count else { return }
    let rank = table.lookUp(symbols[left], symbols[right]).rank
    guard rank != PairTable.none else { return }
    let entry = UInt64(UInt32(bitPattern: rank)) << 32 | UInt64(left)
    heap.append(entry)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if heap[parent] <= entry { break }
      heap[child] = heap[parent]
      child = parent
    }
    heap[child] = entry
  }

  private mutating func popSmallest() -> UInt64? {
    guard let smallest = heap.first, let last = heap.popLast() else { return nil }
    if heap.isEmpty { return smallest }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= heap.count { break }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      if heap[child] >= last { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = last
    return smallest
  }
}
