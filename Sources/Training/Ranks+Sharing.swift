import DataParallel
import Kernels

extension Ranks {
  /// The ranks that share sequences with this one: every `parts` consecutive ones do.
  ///
  /// Collective over all ranks. When an exchange fails, the rank says so and the whole job ends.
  ///
  /// - Parameter parts: a divisor of the number of ranks.
  /// - Returns: this rank's place among them; nil when every rank computes its sequences alone.
  /// - Throws: `CollectiveError`.
  func sharing(_ parts: Int) throws -> SequenceSharing? {
    guard parts > 1 else { return nil }
    let groups = RankGroups(ranks: size, parts: parts)
    let exchange = try RankSequenceExchange(groups, communicator: communicator) { [self] error in
      endJob(because: error)
    }
    return SequenceSharing(parts: parts, part: groups.part(of: rank), exchange: exchange)
  }
}
