import Collectives
import Dispatch
import ErrorReporting
import Kernels

/// How ranks share sequences: each `parts` consecutive ranks are a group that computes the same
/// sequences, rank r part `r % parts` of those of group `r / parts`.
public struct RankGroups: Sendable, Equatable {
  /// Ranks altogether.
  public let ranks: Int
  /// Ranks that share a sequence.
  public let parts: Int

  /// Describes `ranks / parts` groups.
  ///
  /// - Precondition: `parts` divides `ranks`.
  public init(ranks: Int, parts: Int) {
    require(ranks.isMultiple(of: parts), "\(ranks) ranks in groups of \(parts)")
    (self.ranks, self.parts) = (ranks, parts)
  }

  /// Groups.
  public var count: Int { ranks / parts }
  /// A rank's group.
  public func group(of rank: Int) -> Int { rank / parts }
  /// The part of a sequence that a rank computes.
  public func part(of rank: Int) -> Int { rank % parts }
}

/// The group of ranks to which this one belongs.
public final class RankGroup: SequenceGroup {
  /// Ranks that share a sequence.
  public let parts: Int
  /// The part that this rank computes.
  public let part: Int

  private let communicator: Communicator
  private let fail: (any Error) -> Never

  /// Seconds spent in `gather` so far.
  public private(set) var seconds = 0.0

  /// Makes the group of this rank.
  ///
  /// Collective over all ranks.
  ///
  /// - Parameters:
  ///   - groups: who is in which.
  ///   - communicator: all ranks.
  ///   - fail: reports an error and ends the job; see `SequenceGroup`.
  /// - Throws: `CollectiveError`.
  public init(
    _ groups: RankGroups, communicator: Communicator, fail: @escaping (any Error) -> Never
  ) throws {
    require(groups.ranks == communicator.size, "the groups are for another number of ranks")
    (parts, part) = (groups.parts, groups.part(of: communicator.rank))
    self.communicator = try communicator.split(color: groups.group(of: communicator.rank))
    self.fail = fail
  }

  /// Fills in every part's block of `count` floats.
  public func gather(inPlace values: UnsafeMutablePointer<Float>, count: Int) {
    let start = DispatchTime.now().uptimeNanoseconds
    defer { seconds += Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9 }
    do {
      try communicator.gather(inPlace: values, count: count)
    } catch {
      fail(error)
    }
  }
}
