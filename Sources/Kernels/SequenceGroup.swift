/// The ranks that share sequences, as one of them sees them: each computes one part of every segment.
///
/// The ranks of a run implement it; blocks call it.
public protocol SequenceGroup: AnyObject {
  /// How many they are: the number of parts of a segment.
  var parts: Int { get }
  /// The part that this rank computes.
  var part: Int { get }

  /// Fills in every part's block of `count` floats; block j is what part j put there.
  ///
  /// All parts call it, in the same order, with the same count. Does not return when it fails: a block
  /// could not go on, and the other parts would wait for ever.
  func gather(inPlace values: Floats, count: Int)

  /// Seconds that this rank has spent in `gather` so far, waiting for the others included.
  var seconds: Double { get }
}

extension SequenceGroup {
  /// Not measured.
  public var seconds: Double { 0 }
}
