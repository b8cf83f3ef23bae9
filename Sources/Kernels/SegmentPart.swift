import ErrorReporting

/// The part of a shared segment that is computed here.
///
/// The states that a block is given and leaves are those before the first part and after the last one,
/// the same on every rank; see `RecurrentBlock` in `Layers`.
public struct SegmentPart {
  /// Whose tokens are whose.
  public let split: SegmentSplit
  /// The ranks that compute the segment.
  public let group: any SequenceGroup

  /// Describes this rank's part of `split`.
  ///
  /// - Precondition: there are two parts or more, as many as the group has ranks.
  public init(_ split: SegmentSplit, of group: any SequenceGroup) {
    require(
      split.parts == group.parts && split.parts > 1 && 0..<split.parts ~= group.part,
      "part \(group.part) of \(split.parts)")
    (self.split, self.group) = (split, group)
  }

  /// The part's number.
  public var index: Int { group.part }
  /// Parts of the segment.
  public var parts: Int { split.parts }
  /// The tokens of the segment that are this part's.
  public var tokens: Range<Int> { split[index] }

  /// Fills in all parts' shares.
  func gather(_ shares: StateShares) {
    group.gather(inPlace: shares.pointer, count: shares.shareCount)
  }
}
