import Collectives
import DataParallel
import Foundation
import Kernels
import LanguageModels
import Layers
import Optimizers
import RecallTasks
import TensorStorage
import TokenData

/// One optimizer step after another: data, gradients, reduction, update.
///
/// The model's parameters and the optimizer's moments are equal on all ranks after every step. Once
/// the first step has run, a step allocates nothing.
public final class Trainer {
  /// What a step did.
  public struct StepResult: Sendable {
    /// Mean loss in nats over the weighted targets of the step.
    public var loss: Double
    /// Global gradient norm before clipping.
    public var gradientNorm: Double
    /// Learning rate used.
    public var learningRate: Double
    /// Seconds spent exchanging gradients on this rank.
    public var exchangeSeconds: Double
  }

  /// The model.
  public let model: LanguageModel
  /// Its parameters.
  public let parameters: ParameterArena
  /// The optimizer and its moments.
  public let optimizer: AdamW

  private let recipe: Recipe
  private let schedule: LearningRateSchedule
  private let stream: DataStream
  private let ranks: Ranks
  private let reducer: GradientReducer
  private let pass: SequencePass
  private let products: BFloat16Products?
  private let batch: SampleBatch
  private let carried: CarriedStates?
  /// The state that a micro-batch begins or ends with, when lanes carry states.
  private let laneState: FloatBuffer
  private let norm: GradientNorm
  private let firstLeaf: Int

  /// Allocates everything that training needs.
  ///
  /// - Parameters:
  ///   - recipe: what to train, and how.
  ///   - model: the model.
  ///   - parameters: its parameters; they have the model's layout.
  ///   - stream: the samples.
  ///   - ranks: the run's ranks.
  ///   - precision: of the products of forward and backward passes, the same on all ranks.
  /// - Throws: `TrainingError.unsupported` when that is more than the recipe allows.
  public init(
    _ recipe: Recipe, model: LanguageModel, parameters: ParameterArena, stream: DataStream,
    ranks: Ranks, precision: ProductPrecision = .fp32
  ) throws {
    self.recipe = recipe
    self.model = model
    self.parameters = parameters
    self.stream = stream
    self.ranks = ranks
    schedule = recipe.train.learningRate
    optimizer = AdamW(recipe.train.adamW, layout: model.layout)
    let tree = ReductionTree(leaves: recipe.train.microBatches, ranks: ranks.size)
    reducer = GradientReducer(
      count: model.layout.count, tree: tree, communicator: ranks.communicator,
      reproducible: recipe.parallel.isReproducible)
    pass = SequencePass(
      model, batch: recipe.train.microBatch, length: recipe.data.sequenceLength,
      segmentLength: recipe.train.segmentLength,
      storage: try TrainingMemory(recipe, model, ranks: ranks.size, precision: precision).storage,
      truncates: recipe.train.truncatesBackpropagation)
    carried =
      recipe.train.statePassing > 0
      ? CarriedStates(
        model, lanes: recipe.train.sequencesPerStep, probability: recipe.train.statePassing,
        seed: recipe.run.seed) : nil
    laneState = FloatBuffer(
      count: carried == nil ? 0 : model.stateCount(batch: recipe.train.microBatch))
    products =
      switch precision {
      case .fp32: nil
      case .bf16(let backEnd):
        BFloat16Products(
          backEnd, parameters: parameters.buffer, operandCount: recipe.largestOperandCount(model))
      }
    let leaves = tree.leaves(of: ranks.rank)
    firstLeaf = leaves.lowerBound
    batch = SampleBatch(
      sampleCount: leaves.count * recipe.train.microBatch,
      sequenceLength: recipe.data.sequenceLength,
      tracksDocuments: recipe.data.resetsStateAtDocuments)
    norm = GradientNorm(count: model.layout.count)
  }

  /// Tokens of one step over all ranks.
  public var tokensPerStep: Int { recipe.train.sequencesPerStep * recipe.data.sequenceLength }

  /// The gradient of the last step, before clipping.
  public var gradient: FloatBuffer { reducer.gradient }

  /// Runs step `step`, counted from 1.
  ///
  /// - Throws: `AgreedError` when data cannot be read on some rank; `TrainingError.notFinite`, before
  ///   the parameters are touched; `CollectiveError`.
  public func step(_ step: Int) throws -> StepResult {
    try load(step)
    let weight = try reducer.sum { self.weight(ofLeaf: $0) }
    guard weight > 0 else {
      throw TrainingError.notFinite(step: step, what: "no target of the step has a weight")
    }
    let scale = Float(1 / weight)
    products?.convertWeights()
    let sum = try reducer.reduce { leaf, gradients in
      try self.gradient(ofLeaf: leaf, step: step, scale: scale, into: gradients)
    }
    let loss = sum / weight
    let gradientNorm = norm(reducer.gradient)
    try checkFinite(step, loss, gradientNorm)
    let learningRate = schedule[step]
    optimizer.update(
      parameters.buffer, gradients: reducer.gradient, step: step, lr: learningRate,
      gradientNorm: gradientNorm)
    return StepResult(
      loss: loss, gradientNorm: gradientNorm, learningRate: learningRate,
      exchangeSeconds: reducer.exchangeSeconds)
  }

  /// Adds the gradient of one micro-batch, from the states that its lanes carry, its products in the
  /// run's precision.
  private func gradient(
    ofLeaf leaf: Int, step: Int, scale: Float, into gradients: FloatBuffer
  ) throws -> Double {
    let lanes = (leaf * recipe.train.microBatch)..<((leaf + 1) * recipe.train.microBatch)
    carried?.load(lanes, step: step, into: laneState.pointer)
    func gradient() throws -> Double {
      try pass.gradient(
        of: samples(ofLeaf: leaf), scale: scale, parameters: parameters.buffer.pointer,
        accumulatingInto: gradients.pointer,
        stateInPlace: carried == nil ? nil : laneState.pointer)
    }
    let sum = try products?.run(gradient) ?? gradient()
    carried?.store(lanes, from: laneState.pointer)
    return sum
  }

  private func checkFinite(_ step: Int, _ loss: Double, _ gradientNorm: Double) throws {
    guard loss.isFinite else {
      throw TrainingError.notFinite(step: step, what: "the loss is \(loss)")
    }
    guard !gradientNorm.isFinite else { return }
    let slot = model.layout.slots.first { slot in
      slot.range.contains { !reducer.gradient.pointer[$0].isFinite }
    }
    throw TrainingError.notFinite(
      step: step,
      what: "the gradient norm is \(gradientNorm), first in \(slot?.name ?? "no single tensor")")
  }

  /// Reads this rank's own samples of a step, and no others.
  private func load(_ step: Int) throws {
    let perLeaf = recipe.train.microBatch
    let first = UInt64(step - 1) * UInt64(recipe.train.sequencesPerStep)
    try ranks.agree {
      for index in 0..<batch.sampleCount {
        try stream.write(
          globalSample: first + UInt64(firstLeaf * perLeaf + index), into: batch[index])
      }
    }
  }

  private func row(ofLeaf leaf: Int) -> Int {
    (leaf - firstLeaf) * recipe.train.microBatch * recipe.data.sequenceLength
  }

  private func samples(ofLeaf leaf: Int) -> SequenceSamples {
    let row = row(ofLeaf: leaf)
    guard let inputs = batch.inputs.baseAddress, let targets = batch.targets.baseAddress,
      let weights = batch.weights.baseAddress
    else { preconditionFailure("a leaf has samples") }
    return SequenceSamples(
      inputs: inputs + row, targets: targets + row, weights: weights + row,
      history: (batch.history?.baseAddress).map { UnsafePointer($0 + row) })
  }

  private func weight(ofLeaf leaf: Int) -> Double {
    let row = row(ofLeaf: leaf)
    var sum = 0.0
    for index in row..<(row + recipe.train.microBatch * recipe.data.sequenceLength) {
      sum += Double(batch.weights[index])
    }
    return sum
  }
}
