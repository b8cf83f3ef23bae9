import Foundation
import LanguageModels

// What does not fit is refused before anything is allocated: sizes that nobody can count, and those that are
// more than this machine has.

extension TrainingMemory {
  /// Bytes that a rank cannot need: below, no sum of its parts overflows.
  private static let mostBytes = 0x1p54
  /// Tokens of a sequence that a rank can hold at once: to measure the memory of more takes long.
  private static let mostTokens = 1 << 22

  /// Refuses sizes that are beyond any machine, before they are added up in integers.
  ///
  /// - Throws: `TrainingError.unsupported` with the bytes that are needed at least.
  static func checkCountable(_ recipe: Recipe, _ model: LanguageModel) throws(TrainingError) {
    let train = recipe.train
    guard recipe.segments.largestPart <= mostTokens else {
      throw .unsupported(
        "train.segment_length: a rank holds \(recipe.segments.largestPart) tokens of a sequence at "
          + "once, at most \(mostTokens) are possible: lower it")
    }
    let outputs = model.blocks.reduce(0.0) { sum, block in
      block.linearShapes.reduce(sum + Double(model.width)) { $0 + Double($1.outputs) }
    }
    let state = Double(model.stateCount(batch: 1))
    let rows = max(
      Double(train.microBatch) * Double(recipe.segments.largestPart), Double(train.segmentLength))
    let sequences = Double(train.sequencesPerStep)
    // A recurrence keeps a state of every few dozen tokens.
    let floats =
      Double(model.layout.count) + rows * (outputs + state / 64)
      + sequences * Double(recipe.data.sequenceLength)
      + (train.statePassing > 0 ? sequences : Double(train.microBatch)) * state
    let starts = Double(recipe.segments.segmentCount) * Double(train.microBatch) * state
    let bytes = 4 * (train.memoryBudget == nil ? floats + starts : floats)
    guard bytes < mostBytes else {
      throw .unsupported(
        "the model and its batch need at least \(String(format: "%.3g", bytes / 1e9)) GB of memory, "
          + "more than any machine has: lower the model's sizes, train.micro_batch or "
          + "train.segment_length")
    }
  }

  /// The error of a machine that has less memory than its ranks need; nil if it has enough, or does not say.
  ///
  /// - Parameters:
  ///   - ranksHere: ranks on this machine.
  ///   - total: bytes of memory that the machine has.
  /// - Returns: the error, with both numbers.
  package func shortage(
    ranksHere: Int = 1, total: Int? = MachineMemory.total
  ) -> TrainingError? {
    let needed = Double(MemoryLayout<Float>.stride * peak) * Double(ranksHere)
    guard let total, needed > Double(total) else { return nil }
    let ranks = ranksHere == 1 ? "a rank needs" : "the \(ranksHere) ranks of this machine need"
    return .unsupported(
      "\(ranks) \(Self.gigabytes(needed)) of memory, and this machine has "
        + "\(Self.gigabytes(Double(total))): lower train.segment_length or train.micro_batch, set "
        + "train.memory_budget, or use more machines or larger ones")
  }

  private static func gigabytes(_ bytes: Double) -> String {
    String(format: bytes < 1e9 ? "%.3f GB" : "%.1f GB", bytes / 1e9)
  }
}
