/// Cuts a text at the matches of a pattern.
package struct TextSplitter: Sendable {
  /// What becomes of the matches.
  package enum Behavior: String, Sendable {
    case removed = "Removed"
    /// Each is a piece.
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    /// Neighbouring ones are one piece.
    case contiguous = "Contiguous"
  }

  private let pattern: Pattern
  private let behavior: Behavior
  /// Whether what lies between the matches counts as the matches.
  private let isInverted: Bool

  package init(_ pattern: Pattern, _ behavior: Behavior, isInverted: Bool = false) {
    self.pattern = pattern
    self.behavior = behavior
    self.isInverted = isInverted
  }

  /// Calls `piece` with the byte range of each piece of `bytes`, in order; none is empty.
  @inline(__always)
  package func split(_ bytes: UnsafeBufferPointer<UInt8>, piece: (Range<Int>) -> Void) {
    switch behavior {
    case .isolated: stretches(bytes) { range, _ in piece(range) }
    case .removed: stretches(bytes) { range, isMatch in if !isMatch { piece(range) } }
    case .contiguous: splitMerging(bytes, piece) { previous, next in previous == next }
    case .mergedWithPrevious: splitMerging(bytes, piece) { previous, next in !previous && next }
    case .mergedWithNext: splitMerging(bytes, piece) { previous, next in previous && !next }
    }
  }

  /// Matches and what lies between them, in order.
  @inline(__always)
  private func stretches(
    _ bytes: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>, _ isMatch: Bool) -> Void
  ) {
    let scanner = pattern.scanner(bytes)
    var end = 0
    while end < bytes.count {
      let match = scanner.nextMatch(from: end) ?? bytes.count..<bytes.count
      if match.lowerBound > end { body(end..<match.lowerBound, isInverted) }
      if !match.isEmpty { body(match, !isInverted) }
      end = match.upperBound
    }
    withExtendedLifetime(pattern) {}
  }

  /// Joins a stretch to the one before it where `joins` (is the last one a match, is this one) says so.
  private func splitMerging(
    _ bytes: UnsafeBufferPointer<UInt8>, _ piece: (Range<Int>) -> Void, joins: (Bool, Bool) -> Bool
  ) {
    var pending = 0..<0
    var wasMatch = false
    stretches(bytes) { range, isMatch in
      if pending.isEmpty || joins(wasMatch, isMatch) {
        pending = pending.lowerBound..<range.upperBound
      } else {
        piece(pending)
        pending = range
      }
      wasMatch = isMatch
    }
    if !pending.isEmpty { piece(pending) }
  }
}
