import Fields
import JSON

/// What a run knows of spikes: the losses by which it judges the next one, where spikes were, and which
/// batches it left out because of them.
///
/// A part of a checkpoint's training record. All that follows from it is a function of the losses of the
/// steps before, so a resumed run decides as an uninterrupted one does, on any number of ranks.
package struct SpikeHistory: Equatable {
  /// Batches that were left out.
  package struct Gap: Equatable {
    /// The step before them.
    package var step: Int
    /// How many.
    package var batches: Int

    /// Names the parts.
    package init(after step: Int, batches: Int) { (self.step, self.batches) = (step, batches) }
  }

  /// Losses of the last steps that were no spikes, oldest first.
  package private(set) var losses: [Double]
  /// Steps that were spikes, in the order in which they came.
  package private(set) var spikes: [Int]
  /// What was left out, in the order of the steps.
  package private(set) var gaps: [Gap]

  /// Names the parts.
  package init(losses: [Double] = [], spikes: [Int] = [], gaps: [Gap] = []) {
    (self.losses, self.spikes, self.gaps) = (losses, spikes, gaps)
  }

  // MARK: What the data are

  /// The batch that a step trains on, both counted from 1.
  package func batch(ofStep step: Int) -> Int {
    gaps.reduce(step) { $1.step < step ? $0 + $1.batches : $0 }
  }

  /// The history after going back from a spike: the batches from there to the spike's are left out.
  ///
  /// - Parameters:
  ///   - spike: the step that was a spike.
  ///   - step: the checkpoint's step.
  ///   - losses: those that the checkpoint had.
  /// - Returns: the history with which the run goes on.
  package func goingBack(from spike: Int, to step: Int, losses: [Double]) -> SpikeHistory {
    let gap = Gap(after: step, batches: batch(ofStep: spike) - batch(ofStep: step))
    return SpikeHistory(
      losses: losses, spikes: spikes + [spike], gaps: gaps.filter { $0.step < step } + [gap])
  }

  // MARK: What a spike is

  /// Takes a step's loss among those that the next ones are compared with.
  package mutating func accept(_ loss: Double, window: Int) {
    losses.append(loss)
    if losses.count > window { losses.removeFirst(losses.count - window) }
  }

  /// Notes a spike whose step is not repeated.
  package mutating func skip(_ step: Int) { spikes.append(step) }

  /// How many standard deviations a loss lies above the mean of the last `window`; nil before there are so
  /// many.
  ///
  /// The deviation counts as a thousandth of the mean at least: where nothing moves, a change of the last
  /// digit is no spike.
  package func deviation(of loss: Double, window: Int) -> Double? {
    guard losses.count >= window else { return nil }
    let last = losses.suffix(window)
    let mean = last.reduce(0, +) / Double(window)
    let variance = last.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(window - 1)
    let deviation = max(variance.squareRoot(), 1e-3 * abs(mean), .leastNormalMagnitude)
    return (loss - mean) / deviation
  }

  /// Spikes among the last `window` steps up to `step`.
  package func spikes(upTo step: Int, window: Int) -> Int {
    spikes.count { $0 > step - window }
  }
}

// MARK: - As stored in the training record

extension SpikeHistory {
  /// As stored; nil when there is nothing to store.
  var json: JSONValue? {
    guard self != SpikeHistory() else { return nil }
    return .object([
      JSONMember("losses", .array(losses.map { JSONValue($0) })),
      JSONMember("spikes", .array(spikes.map { .integer($0) })),
      JSONMember(
        "left_out",
        .array(
          gaps.map {
            .object([
              JSONMember("after", .integer($0.step)), JSONMember("batches", .integer($0.batches)),
            ])
          })),
    ])
  }

  init(stored: FieldReader) throws(FieldError) {
    losses = try stored.numbers("losses", .any)
    spikes = try stored.integers("spikes", .atLeast(1))
    gaps = []
    for gap in try stored.mappings("left_out") {
      gaps.append(
        Gap(
          after: try gap.integer("after", .atLeast(0)),
          batches: try gap.integer("batches", .atLeast(1))))
    }
  }
}
