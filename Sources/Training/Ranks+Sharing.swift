import DataParallel
import Kernels
import TensorStorage

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

  /// Whether a rank gives up the pass that it computes: it was asked to stop, or one that shares its
  /// sequences was, with which it then agrees; collective over these.
  func givesUp(with sharing: SequenceSharing?, _ answers: FloatBuffer) -> Bool {
    guard let sharing else { return isAskedToStop }
    answers.pointer[sharing.part] = isAskedToStop ? 1 : 0
    sharing.exchange.gather(inPlace: answers.pointer, count: 1)
    return answers.elements.contains(1)
  }
}
