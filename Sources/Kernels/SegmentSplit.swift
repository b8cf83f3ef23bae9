import ErrorReporting

/// The cut of consecutive tokens into parts, one a rank: who computes which tokens of a sequence.
///
/// A function of the sizes only, so that every rank knows every other's share. Part j of n holds the
/// units `j u / n ..< (j + 1) u / n` (rounded down) of all `u` units of `unit` tokens; the last unit may
/// be short. No part is empty.
public struct SegmentSplit: Sendable, Equatable {
  /// Tokens of all parts.
  public let length: Int
  /// Parts.
  public let parts: Int
  /// Tokens that are never divided: a chunk where there are enough of them, else one token.
  public let unit: Int

  /// Cuts `length` tokens into `parts` parts of at most `capacity` tokens.
  ///
  /// Parts are whole chunks, the last one's end aside, where `capacity` is a multiple of a chunk and
  /// every part gets one.
  ///
  /// - Precondition: `parts <= length <= parts * capacity`.
  public init(length: Int, parts: Int, capacity: Int) {
    require(
      parts >= 1 && parts <= length && length <= parts * capacity,
      "\(length) tokens in \(parts) parts of at most \(capacity)")
    let chunk = GLADims.chunk
    let inChunks = capacity.isMultiple(of: chunk) && (length + chunk - 1) / chunk >= parts
    self.length = length
    self.parts = parts
    unit = inChunks ? chunk : 1
  }

  /// The tokens of a part.
  @inline(__always)
  public subscript(part: Int) -> Range<Int> { start(of: part)..<start(of: part + 1) }

  @inline(__always)
  private func start(of part: Int) -> Int {
    let units = (length + unit - 1) / unit
    return min(part * units / parts * unit, length)
  }
}
