/// How the parts of a sequence learn from each other.
///
/// The ranks of a run implement it; blocks call it.
public protocol SequenceExchange: AnyObject {
  /// Fills in every part's block of `count` floats; block j is what part j put there.
  ///
  /// All parts call it, in the same order, with the same count. Does not return when it fails: a block
  /// could not go on, and the other parts would wait for ever.
  func gather(inPlace values: Floats, count: Int)

  /// Seconds that this part has spent in `gather` so far, waiting for the others included.
  var seconds: Double { get }
}

extension SequenceExchange {
  /// Not measured.
  public var seconds: Double { 0 }
}

/// Who shares sequences: `parts` ranks, of which this one computes part `part` of each segment.
public struct SequenceSharing {
  /// Ranks that share a sequence.
  public var parts: Int
  /// This rank's part.
  public var part: Int
  /// The way to the others.
  public var exchange: any SequenceExchange

  /// Describes the sharing.
  public init(parts: Int, part: Int, exchange: any SequenceExchange) {
    (self.parts, self.part, self.exchange) = (parts, part, exchange)
  }
}

/// The part of a shared segment that is computed here.
///
/// The states that a block is given and leaves are those before the first part and after the last one,
/// the same on every rank; see `RecurrentBlock` in `Layers`.
public struct SequencePart {
  /// Whose tokens are whose.
  public let split: SequenceSplit
  /// The part's number.
  public let index: Int
  /// The way to the others.
  public let exchange: any SequenceExchange

  /// Describes this rank's part of `split`.
  ///
  /// - Precondition: there are two parts or more, as many as ranks share the tokens.
  public init(_ split: SequenceSplit, _ sharing: SequenceSharing) {
    precondition(
      split.parts == sharing.parts && split.parts > 1 && 0..<split.parts ~= sharing.part,
      "part \(sharing.part) of \(split.parts)")
    (self.split, index, exchange) = (split, sharing.part, sharing.exchange)
  }

  /// Parts of the segment.
  public var parts: Int { split.parts }

  /// Fills in all parts' shares.
  func gather(_ shares: StateShares) {
    exchange.gather(inPlace: shares.pointer, count: shares.shareCount)
  }
}
