import Collectives
import Kernels
import LanguageModels
import TensorStorage

/// The final states that lanes hand on from one step to the next.
///
/// A lane is a place among the sequences of a step. Its states are kept in the order of the lanes, so
/// they do not depend on how lanes are shared by micro-batches and ranks.
package final class CarriedStates {
  /// States of all lanes, as a checkpoint's layout has them; each rank computes those of its own lanes.
  package let buffer: FloatBuffer
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
  ///   - probability: that a lane hands its state on.
  ///   - seed: the run's seed.
  package init(_ model: LanguageModel, lanes: Int, probability: Double, seed: UInt64) {
    parts = model.blocks.flatMap(\.stateParts)
    let states = Self.layout(extending: model, lanes: lanes).states
    laneStride = states.count / lanes
    self.lanes = lanes
    self.probability = probability
    self.seed = seed
    buffer = FloatBuffer(count: states.count)
  }

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

  /// Lets every rank have the states of all lanes; collective.
  ///
  /// - Parameters:
  ///   - own: lanes whose states this rank gives to the others; each lane is given by one rank.
  ///   - communicator: the ranks.
  /// - Throws: `CollectiveError`.
  func gather(_ own: Range<Int>, _ communicator: Communicator) throws {
    guard communicator.size > 1 else { return }
    for lane in 0..<lanes where !own.contains(lane) {
      zero(buffer.pointer + lane * laneStride, count: laneStride)
    }
    try communicator.sum(inPlace: buffer.pointer, count: buffer.count)
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
        body(lane, lane * laneStride + before, before * lanes.count + index * part, part)
      }
      before += part
    }
  }
}
