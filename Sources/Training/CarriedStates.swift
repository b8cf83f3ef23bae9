import Kernels
import LanguageModels
import TensorStorage

/// The final states that lanes hand on from one step to the next.
///
/// A lane is a place among the sequences of a step. Its states are kept in the order of the lanes, so
/// they do not depend on how lanes are shared by micro-batches and ranks.
package final class CarriedStates {
  /// States of all lanes, `[lanes, floats of a sequence]`; each rank computes those of its own lanes.
  package let buffer: FloatBuffer
  /// Floats of one lane.
  package let laneCount: Int

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
  ///   - probability: that a lane hands its state on.
  ///   - seed: the run's seed.
  package init(_ model: LanguageModel, lanes: Int, probability: Double, seed: UInt64) {
    parts = model.blocks.flatMap(\.stateParts)
    laneCount = parts.reduce(0, +)
    self.lanes = lanes
    self.probability = probability
    self.seed = seed
    buffer = FloatBuffer(count: lanes * laneCount)
  }

  /// Whether the lane's sample of this step begins with the state that the lane carries.
  package func carries(_ lane: Int, step: Int) -> Bool {
    var random = CounterRandom(
      seed: seed, purposeHash: purpose, index: UInt64(step) * UInt64(lanes) + UInt64(lane))
    return random.uniform() < probability
  }

  /// Writes the states that some lanes begin a step with into a micro-batch's state.
  package func load(_ lanes: Range<Int>, step: Int, into state: Floats) {
    forEachPart(lanes) { lane, own, place, count in
      if carries(lane, step: step) {
        copy(buffer.pointer + own, count: count, into: state + place)
      } else {
        zero(state + place, count: count)
      }
    }
  }

  /// Keeps the states that some lanes ended with.
  package func store(_ lanes: Range<Int>, from state: Floats) {
    forEachPart(lanes) { _, own, place, count in
      copy(state + place, count: count, into: buffer.pointer + own)
    }
  }

  /// Calls `body` (lane, offset in `buffer`, offset in a micro-batch's state, floats) for every part.
  private func forEachPart(_ lanes: Range<Int>, _ body: (Int, Int, Int, Int) -> Void) {
    var before = 0
    for part in parts {
      for (index, lane) in lanes.enumerated() {
        body(lane, lane * laneCount + before, before * lanes.count + index * part, part)
      }
      before += part
    }
  }
}
