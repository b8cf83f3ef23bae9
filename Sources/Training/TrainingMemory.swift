import DataParallel
import Files
import Foundation
import Kernels
import LanguageModels
import TensorStorage

/// What a training run holds in memory on its largest rank, and how states at segment starts are kept
/// within the recipe's budget.
package struct TrainingMemory {
  /// Everything but the states at segment starts, in floats.
  package let items: [(name: String, count: Int)]
  /// The states at segment starts, and how ranks that share sequences divide them.
  package let stateSizes: SegmentStateSizes
  /// Where they are kept.
  package let storage: SegmentStateStorage
  /// Floats of both arenas while the model is expanded, before the rest is allocated; 0 without an
  /// expansion.
  package let expanding: Int

  /// Adds up what `recipe` needs.
  ///
  /// - Parameters:
  ///   - recipe: what is trained.
  ///   - model: the model.
  ///   - ranks: ranks that share the work.
  ///   - precision: of matrix products.
  ///   - evaluation: floats that measuring the model during training holds.
  ///   - unexpanded: floats of the model's arena before it is expanded; 0 when it is not.
  /// - Throws: `TrainingError.unsupported` when the recipe's budget is too small.
  package init(
    _ recipe: Recipe, _ model: LanguageModel, ranks: Int, precision: ProductPrecision = .fp32,
    evaluation: Int = 0, unexpanded: Int = 0
  ) throws(TrainingError) {
    try Self.checkCountable(recipe, model)
    let train = recipe.train
    let (length, segments) = (recipe.data.sequenceLength, recipe.segments)
    let trained = model.layout.trainableCount
    let options = recipe.parallel.reduction
    let owners = ArenaPartition(count: trained, parts: options.isSharded ? ranks : 1)
    let updated = (0..<owners.parts).map { owners.count(of: $0) }.max() ?? 0
    let tree = recipe.reductionTree(ranks: ranks)
    let reducer =
      (0..<ranks).map {
        GradientReducer.memory(count: trained, tree: tree, rank: $0, options: options)
      }.max() ?? 0
    let pass = SequencePass.memory(model, batch: train.microBatch, plan: segments)
    let microBatches = (0..<ranks).map { tree.microBatches(of: $0).count }.max() ?? 0
    let arrays = recipe.data.resetsStateAtDocuments ? 4 : 3
    let carried =
      train.statePassing > 0
      // Those that a step begins with, those that it leaves, and one at work.
      ? 2 * microBatches * pass.state + pass.state
        + CarriedStates.savingCount(model, lanes: train.sequencesPerStep, ranks: ranks) : 0
    let converted =
      switch precision {
      case .fp32: (mirror: 0, operands: 0)
      case .bf16(let backEnd):
        BFloat16Products.memory(
          backEnd, parameterCount: model.layout.count,
          operandCount: recipe.largestOperandCount(model))
      }
    items = [
      ("parameters", model.layout.count), ("gradients and their exchange", reducer),
      ("optimizer moments", train.rule.stateByteCount * updated / MemoryLayout<Float>.stride),
      ("activations of a segment", pass.activations),
      ("recurrent state and its gradient", 2 * pass.state), ("carried states", carried),
      ("samples", microBatches * train.microBatch * length * arrays),
      ("weights converted to bf16", converted.mirror),
      ("operands converted to bf16", converted.operands), ("evaluation", evaluation),
    ].filter { $0.1 > 0 }
    expanding = unexpanded == 0 ? 0 : unexpanded + model.layout.count
    stateSizes = SegmentStateSizes(
      segments: train.truncatesBackpropagation ? 1 : segments.segmentCount,
      stateCount: pass.state, parts: recipe.parallel.sequenceRanks)
    storage = try Self.storage(train, used: items.reduce(0) { $0 + $1.count }, stateSizes)
    if let budget = train.memoryBudget, budget < MemoryLayout<Float>.stride * expanding {
      throw .unsupported(
        "train.memory_budget: \(byteText(budget)) is less than the "
          + "\(byteText(MemoryLayout<Float>.stride * expanding)) that the model takes up before and "
          + "after its expansion together: expand it beforehand, with `statex expand` on a larger machine"
      )
    }
  }

  /// Floats at most, at any time.
  package var peak: Int {
    max(expanding, items.reduce(startingStates) { $0 + $1.count })
  }

  /// Makes sure, before anything is allocated, that the system would give this much memory.
  ///
  /// - Throws: `.unsupported` when a limit (`ulimit -v`) or the machine's memory is too small.
  func checkAvailable() throws(TrainingError) {
    let bytes = MemoryLayout<Float>.stride * peak
    let mapped = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let mapped, mapped != MAP_FAILED else {
      throw .unsupported(
        "the system cannot provide the \(byteText(bytes)) of memory that a rank needs "
          + "(\(String(cString: strerror(errno)))): raise `ulimit -v`, lower train.segment_length or "
          + "train.micro_batch, or set train.memory_budget")
    }
    munmap(mapped, bytes)
  }

  /// Bytes that a copy of values may take while a checkpoint is written: what the machine has left for
  /// each of the ranks, within the recipe's budget.
  func spare(ranks: Int, _ train: Recipe.Train) -> Int {
    let rest = train.memoryBudget.map { max($0 - MemoryLayout<Float>.stride * peak, 0) }
    return min(MachineMemory.spare / ranks, rest ?? .max)
  }

  private static func storage(
    _ train: Recipe.Train, used: Int, _ stateSizes: SegmentStateSizes
  ) throws(TrainingError) -> SegmentStateStorage {
    guard let budget = train.memoryBudget else { return .memory }
    let (segments, state) = (stateSizes.segments, stateSizes.ownCount)
    let used = used + stateSizes.gatheredCount
    let states = (budget / MemoryLayout<Float>.stride - used) / max(state, 1)
    if states >= segments { return .memory }
    if let scratch = train.scratch, states >= 1 { return .spilled(directory: scratch) }
    if let n = SegmentStateStorage.thinning(segments: segments, states: states) {
      return .thinned(every: n)
    }
    let least =
      SegmentStateStorage.leastStates(segments: segments)
    let needed = MemoryLayout<Float>.stride * (used + state * (train.scratch == nil ? least : 1))
    throw .unsupported(
      "train.memory_budget: \(byteText(budget)) is less than the \(byteText(needed)) that a rank "
        + "needs; lower train.segment_length or train.micro_batch"
        + (train.scratch == nil ? ", or set train.scratch" : ""))
  }

  /// Makes sure, before anything is done, that spilled states have a place.
  ///
  /// - Throws: `.io` when the scratch directory cannot be written or has not enough room.
  func checkScratch() throws(FileError) {
    guard case .spilled(let directory) = storage else { return }
    _ = try ScratchFile(directory: directory, count: starts * stateSizes.ownCount)
  }

  /// Floats of one state of a micro-batch.
  package var state: Int { stateSizes.stateCount }

  /// Segments whose starting states are wanted at one time: one when gradients are truncated.
  package var starts: Int { stateSizes.segments }

  /// Floats of the states at segment starts that are in memory.
  package var startingStates: Int { stateSizes.memory(storage) }
}

/// Bytes for people: `1.87 GB`.
package func byteText(_ value: Int) -> String {
  let units: [(Double, String)] = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")]
  guard let (size, unit) = units.first(where: { Double(value) >= $0.0 }) else {
    return "\(value) B"
  }
  return String(format: "%.2f %@", Double(value) / size, unit)
}
