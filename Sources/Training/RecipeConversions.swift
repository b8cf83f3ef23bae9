import DataParallel
import LanguageModels
import Optimizers
import StateExpansion

// From a decoded recipe to what the rooms below take.

extension Recipe {
  /// The cut of a sequence into segments and parts.
  var segments: SegmentPlan {
    SegmentPlan(
      length: data.sequenceLength, segmentLength: train.segmentLength,
      parts: parallel.sequenceRanks)
  }

  /// How a step is divided among `ranks` ranks.
  func reductionTree(ranks: Int) -> ReductionTree {
    let parts = parallel.sequenceRanks
    return ReductionTree(leaves: train.microBatches * parts, ranks: ranks, parts: parts)
  }
}

extension Recipe.Expansion {
  /// The plan for a model of that family.
  ///
  /// - Throws: `ExpansionError` when its layers cannot be expanded.
  func plan(family: ModelFamily, seed: UInt64) throws(ExpansionError) -> ExpansionPlan {
    let option = try family.expandable.sizeOption
    let selection: LayerSelection =
      switch layers {
      case .every(let stride): .every(stride)
      case .list(let list): .list(list)
      }
    let initialization: ExpansionInitialization =
      switch initialization {
      case .reinitialize: .reinitialize
      case .paper: .paper
      case .inherit: .inherit
      case .preserve: .preserve
      }
    return ExpansionPlan(
      layers: selection,
      size: ExpansionSize(option.name, sizes[option.name] ?? option.defaultValue),
      initialization: initialization, seed: seed)
  }
}

extension Recipe.Train {
  /// The learning rate as a function of the step.
  var learningRate: LearningRateSchedule {
    let shape: LearningRateSchedule.Shape =
      switch schedule.kind {
      case .cosine: .cosine
      case .constant: .constant
      case .linear: .linear
      case .wsd(let decaySteps): .warmupStableDecay(decaySteps: decaySteps)
      }
    return LearningRateSchedule(
      peak: optimizer.learningRate, minimum: optimizer.minimumLearningRate,
      warmupSteps: schedule.warmupSteps, steps: steps, shape: shape)
  }

  /// The optimizer.
  package var rule: any OptimizerConfiguration {
    otherOptimizer?.rule
      ?? AdamWConfiguration(
        beta1: optimizer.beta1, beta2: optimizer.beta2, epsilon: optimizer.epsilon,
        weightDecay: optimizer.weightDecay,
        gradientClip: optimizer.gradientClip > 0 ? optimizer.gradientClip : nil,
        moments: optimizer.moments)
  }

  /// Micro-batches of a step over all ranks.
  var microBatches: Int { sequencesPerStep / microBatch }
}

extension Recipe.Parallel {
  /// How gradients are summed over ranks.
  var reduction: ReductionOptions {
    ReductionOptions(
      reproducible: isReproducible, overlaps: overlaps, isSharded: optimizerSharding == .zero1)
  }
}
