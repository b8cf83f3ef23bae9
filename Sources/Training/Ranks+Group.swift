import DataParallel
import Kernels
import TensorStorage

extension Ranks {
  /// The ranks that share sequences with this one: every `parts` consecutive ones do.
  ///
  /// Collective over all ranks. When an exchange fails, the rank says so and the whole job ends.
  ///
  /// - Parameter parts: a divisor of the number of ranks.
  /// - Returns: the group of this rank; nil when every rank computes its sequences alone.
  /// - Throws: `CollectiveError`.
  func group(of parts: Int) throws -> (any SequenceGroup)? {
    guard parts > 1 else { return nil }
    let groups = RankGroups(ranks: size, parts: parts)
    return try RankGroup(groups, communicator: communicator) { [self] error in
      endJob(because: error)
    }
  }

  /// Whether a rank gives up the pass that it computes: it was asked to stop, or one that shares its
  /// sequences was, with which it then agrees; collective over these.
  func givesUp(with group: (any SequenceGroup)?, _ answers: FloatBuffer) -> Bool {
    guard let group else { return isAskedToStop }
    answers.pointer[group.part] = isAskedToStop ? 1 : 0
    group.gather(inPlace: answers.pointer, count: 1)
    return answers.elements.contains(1)
  }
}
