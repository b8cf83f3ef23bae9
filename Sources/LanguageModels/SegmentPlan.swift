import Kernels

/// The cut of a sequence into segments, and of each segment into the parts of the ranks that share it.
public struct SegmentPlan: Sendable, Equatable {
  /// Tokens of a sequence.
  public let length: Int
  /// Tokens of a part, at most.
  public let capacity: Int
  /// Ranks that share a sequence.
  public let parts: Int

  /// Cuts sequences of `length` tokens into segments of `parts` parts.
  ///
  /// - Parameters:
  ///   - length: tokens of a sequence.
  ///   - segmentLength: tokens of a part, at most.
  ///   - parts: ranks that share a sequence.
  public init(length: Int, segmentLength: Int, parts: Int = 1) {
    (self.length, self.parts) = (length, parts)
    capacity = segmentLength
  }

  /// Tokens of a segment, over all parts; the last one may be shorter.
  public var segmentLength: Int { min(length, parts * capacity) }

  /// Segments of a sequence.
  public var segmentCount: Int { (length + segmentLength - 1) / segmentLength }

  /// Tokens of the last segment.
  public var lastLength: Int { length - (segmentCount - 1) * segmentLength }

  /// Whether every part has a token of every segment.
  public var isPossible: Bool { lastLength >= parts }

  /// The parts of a segment.
  public func split(_ segment: Int) -> SegmentSplit {
    let isLast = segment == segmentCount - 1
    return SegmentSplit(
      length: isLast ? lastLength : segmentLength, parts: parts, capacity: capacity)
  }

  /// The tokens of a sequence that are a part of a segment.
  public func range(_ segment: Int, part: Int) -> Range<Int> {
    let (first, range) = (segment * segmentLength, split(segment)[part])
    return (first + range.lowerBound)..<(first + range.upperBound)
  }

  /// Tokens of the largest part.
  public var largestPart: Int {
    [0, segmentCount - 1].flatMap { segment in
      (0..<parts).map { range(segment, part: $0).count }
    }.max() ?? 0
  }
}
