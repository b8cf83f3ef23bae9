import Checkpointing
import Collectives
import Kernels
import LanguageModels
import TensorStorage

/// The final states that a rank's lanes hand on from one step to the next.
///
/// A lane is a place among the sequences of a step. Its states are kept in the order of the lanes, so
/// they do not depend on how lanes are shared by micro-batches and ranks.
package final class CarriedStates {
  /// States of this rank's lanes, one after the other as a checkpoint's layout has them.
  private var buffer: FloatBuffer
  /// Those that the step under way leaves.
  private var next: FloatBuffer
  /// The lanes that this rank computes.
  private let own: Range<Int>
  /// Elements of a checkpoint's layout that are states of lanes.
  private let states: Range<Int>
  /// Floats from one lane's state to the next.
  private let laneStride: Int

  private let parts: [Int]
  private let lanes: Int
  private let probability: Double
  private let seed: UInt64
  private let purpose = CounterRandom.hash("state-passing")

  /// Starts with states of zero.
  ///
  /// - Parameters:
  ///   - model: whose states they are.
  ///   - lanes: sequences of a step over all ranks.
  ///   - own: those whose states this rank computes.
  ///   - probability: that a lane hands its state on.
  ///   - seed: the run's seed.
  package init(
    _ model: LanguageModel, lanes: Int, own: Range<Int>, probability: Double, seed: UInt64
  ) {
    parts = model.blocks.flatMap(\.stateParts)
    states = Self.layout(extending: model, lanes: lanes).states
    laneStride = states.count / lanes
    self.lanes = lanes
    self.own = own
    self.probability = probability
    self.seed = seed
    buffer = FloatBuffer(count: own.count * laneStride)
    next = FloatBuffer(count: own.count * laneStride)
  }

  /// Ends a step, in which all lanes of this rank left a state: the next one begins with these.
  package func moveOn() { swap(&buffer, &next) }

  /// A checkpoint's tensors: the model's, then one for each lane.
  package static func layout(
    extending model: LanguageModel, lanes: Int
  ) -> (layout: ParameterLayout, states: Range<Int>) {
    var layout = model.layout
    let first = layout.count
    let count = model.blocks.flatMap(\.stateParts).reduce(0, +)
    for lane in 0..<lanes {
      layout.append(name: "lanes.\(lane).state", shape: [count], isTrainable: false)
    }
    return (layout, first..<layout.count)
  }

  /// The states of this rank's lanes among those of all lanes.
  private var ownElements: Range<Int> {
    (own.lowerBound * laneStride)..<(own.upperBound * laneStride)
  }

  /// A store of the states; `parts` are counted from the first lane's, and lie one after the other.
  private func store(_ parts: [Range<Int>], _ values: FloatBuffer) -> CheckpointStore {
    var next = values.pointer
    let parts = parts.map { range in
      defer { next += range.count }
      return CheckpointStore.Part(
        (states.lowerBound + range.lowerBound)..<(states.lowerBound + range.upperBound),
        at: UnsafeMutableRawPointer(next))
    }
    return CheckpointStore(
      "states", dataType: .float32, covered: states, parts: parts, owner: values)
  }

  /// The states of this rank's lanes, to be read from a checkpoint.
  var ownStore: CheckpointStore { store(own.isEmpty ? [] : [ownElements], buffer) }

  /// Floats that a rank holds while states are saved, besides those of its own lanes: its shard of all
  /// states, and a bucket on the way there.
  static func savingCount(_ model: LanguageModel, lanes: Int, ranks: Int) -> Int {
    let count = layout(extending: model, lanes: lanes).states.count
    let partition = ArenaPartition(count: count, parts: ranks)
    let shard = (0..<ranks).map { partition.count(of: $0) }.max() ?? 0
    return shard + min(count, partition.grain.bucket)
  }

  /// The states that this rank's shard of a checkpoint has, from the ranks that computed them;
  /// collective.
  ///
  /// - Parameters:
  ///   - gives: whether this rank gives its lanes' states; each lane's are given by one rank.
  ///   - communicator: the ranks.
  /// - Returns: what to save, a copy.
  /// - Throws: `CollectiveError`.
  func shardStore(gives: Bool, _ communicator: Communicator) throws -> CheckpointStore {
    let partition = ArenaPartition(count: states.count, parts: communicator.size)
    let shard = FloatBuffer(count: partition.count(of: communicator.rank))
    let bucket = FloatBuffer(count: min(states.count, partition.grain.bucket))
    let given = gives ? ownElements : 0..<0
    var next = shard.pointer
    for index in 0..<partition.bucketCount {
      let elements = partition.bucket(index)
      zero(bucket.pointer, count: elements.count)
      let here = given.clamped(to: elements)
      copy(
        buffer.pointer + (here.lowerBound - ownElements.lowerBound), count: here.count,
        into: bucket.pointer + (here.lowerBound - elements.lowerBound))
      try communicator.sum(inPlace: bucket.pointer, count: elements.count)
      let part = partition.range(of: communicator.rank, inBucket: index)
      copy(
        bucket.pointer + (part.lowerBound - elements.lowerBound), count: part.count, into: next)
      next += part.count
    }
    return store(partition.ranges(of: communicator.rank), shard)
  }

  /// Whether the lane's sample of this step begins with the state that the lane carries.
  package func carries(_ lane: Int, step: Int) -> Bool {
    var random = CounterRandom(
      seed: seed, purposeHash: purpose, index: UInt64(step) * UInt64(lanes) + UInt64(lane))
    return random.uniform() < probability
  }

  /// Writes the states that some of this rank's lanes begin a step with into a micro-batch's state.
  package func load(_ lanes: Range<Int>, step: Int, into state: Floats) {
    forEachPart(lanes) { lane, own, place, count in
      if carries(lane, step: step) {
        copy(buffer.pointer + own, count: count, into: state + place)
      } else {
        zero(state + place, count: count)
      }
    }
  }

  /// Keeps the states that some of this rank's lanes ended with, for when all is done: `moveOn`.
  package func store(_ lanes: Range<Int>, from state: Floats) {
    forEachPart(lanes) { _, own, place, count in
      copy(state + place, count: count, into: next.pointer + own)
    }
  }

  /// Calls `body` (lane, offset in `buffer`, offset in a micro-batch's state, floats) for every part.
  private func forEachPart(_ lanes: Range<Int>, _ body: (Int, Int, Int, Int) -> Void) {
    var before = 0
    for part in parts {
      for (index, lane) in lanes.enumerated() {
        let place = (lane - own.lowerBound) * laneStride
        body(lane, place + before, before * lanes.count + index * part, part)
      }
      before += part
    }
  }
}
