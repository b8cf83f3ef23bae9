/// How many tokens of its own document stand before each row, for sequences that hold several documents.
///
/// A document's first token must not see what was before it: its recurrence starts from a state of
/// zeros and its convolutions from inputs of zero.
public struct DocumentHistory: Sendable {
  /// `[B, T]` tokens of the document before the row, nil when documents are not told apart.
  private nonisolated(unsafe) let counts: UnsafePointer<Int32>?

  /// Everything before a row is its document's.
  public static let none = DocumentHistory(nil)

  /// The log gate of a document's first row: its exponential is 0, and 64 of them add up to a finite
  /// number, so that sums of gates stay comparable.
  public static let gate: Float = -1e30

  /// Takes counts of all rows of a segment, `[B, T]`, or nil.
  public init(_ counts: UnsafePointer<Int32>?) { self.counts = counts }

  /// Whether `row` is the first of its document.
  @inline(__always)
  func begins(at row: Int) -> Bool {
    guard let counts else { return false }
    return counts[row] == 0
  }

  /// What to add to the log gate of `row`.
  @inline(__always)
  func gate(at row: Int) -> Float { begins(at: row) ? Self.gate : 0 }

  /// The first tap, of `taps`, whose input `row` may see; tap `taps - 1` is the row itself.
  @inline(__always)
  func firstTap(at row: Int, taps: Int) -> Int {
    guard let counts else { return 0 }
    return max(taps - 1 - Int(counts[row]), 0)
  }
}
