import Checkpointing
import Collectives
import DataParallel
import ErrorReporting
import Foundation
import Kernels
import LanguageModels
import Layers
import Optimizers
import TensorStorage
import TokenData

/// One optimizer step after another: data, gradients, reduction, update.
///
/// The model's parameters are equal on all ranks after every step, and so are the optimizer's moments
/// unless they are sharded. Once the first step has run, a step allocates nothing.
public final class Trainer {
  /// What a step did.
  public struct StepResult: Sendable {
    /// Mean loss in nats over the weighted targets of the step.
    public var loss: Double
    /// Global gradient norm before clipping.
    public var gradientNorm: Double
    /// Learning rate used.
    public var learningRate: Double
    /// Seconds that passed until this rank had its samples.
    public var reading: Double
    /// What this rank spent on exchanging gradients, and with sharded moments parameters.
    public var exchange: GradientReducer.Seconds
    /// Seconds that this rank spent on what ranks that share a sequence tell each other, waiting
    /// included; nil where sequences are not shared.
    public var sequenceExchange: Double?
    /// Seconds that comparing the ranks' copies took; nil where they were not compared.
    public var verification: Double?
    /// What cannot be right in the step, whose update was not made then.
    public var spike: Spike?
  }

  /// The model.
  public let model: LanguageModel
  /// Its parameters.
  public let parameters: ParameterArena
  /// The optimizer and its moments.
  public let optimizer: any Optimizer

  private let recipe: Recipe
  private let schedule: LearningRateSchedule
  private let ranks: Ranks
  private let reducer: GradientReducer
  private let pass: SequencePass
  private let group: (any SequenceGroup)?
  private let products: BFloat16Products?
  private let samples: StepSamples
  private let totals: SourceTotals?
  private let carried: CarriedStates?
  /// The state that a micro-batch begins or ends with, when lanes carry states.
  private let laneState: FloatBuffer
  private let norm: GradientNorm
  /// The spikes so far, and the batches left out because of them.
  package var spikes = SpikeHistory()
  /// What kept this rank's part of a gradient from being computed.
  private var failure: (any Error)?
  /// Whether parameters, moments and the states that lanes carry are those after a whole step: not so
  /// in the middle of an update.
  private(set) var isBetweenSteps = true
  /// Called in a step before parameters or moments change: a checkpoint may still be read from them, and
  /// they can be looked at once more.
  var valuesWillChange: (_ step: Int) throws -> Void = { _ in }
  /// Called again and again with the seconds that a step has waited for its samples.
  var isWaiting: (_ seconds: Double) -> Void = { _ in }
  private var blockIsFinal: (Int, UnsafePointer<Float>) -> Void = { _, _ in }

  /// Allocates everything that training needs; collective.
  ///
  /// - Parameters:
  ///   - recipe: how to train.
  ///   - model: what is trained.
  ///   - parameters: where it starts, in the model's layout.
  ///   - stream: the data.
  ///   - ranks: all ranks.
  ///   - memory: what the recipe needs, and where states at segment starts are kept.
  ///   - group: those that share sequences with this one, as the recipe says.
  ///   - precision: of the products of forward and backward passes, the same on all ranks.
  /// - Throws: `CollectiveError`.
  package init(
    _ recipe: Recipe, model: LanguageModel, parameters: ParameterArena, stream: DataStream,
    ranks: Ranks, memory: TrainingMemory, group: (any SequenceGroup)? = nil,
    precision: ProductPrecision = .fp32
  ) throws {
    require(
      group?.parts ?? 1 == recipe.parallel.sequenceRanks,
      "\(group?.parts ?? 1) ranks share a sequence, not \(recipe.parallel.sequenceRanks)")
    self.recipe = recipe
    self.model = model
    self.parameters = parameters
    self.ranks = ranks
    self.group = group
    schedule = recipe.train.learningRate
    let tree = recipe.reductionTree(ranks: ranks.size)
    let reducer = try GradientReducer(
      count: model.layout.trainableCount, tree: tree, communicator: ranks.communicator,
      options: recipe.parallel.reduction)
    self.reducer = reducer
    optimizer = recipe.train.rule.makeOptimizer(
      layout: model.layout, ranges: reducer.partition.ranges(of: reducer.part))
    norm = GradientNorm(reducer.partition, part: reducer.part)
    pass = SequencePass(
      model, batch: recipe.train.microBatch, length: recipe.data.sequenceLength,
      segmentLength: recipe.train.segmentLength, storage: memory.storage,
      truncates: recipe.train.truncatesBackpropagation, group: group)
    let microBatches = tree.microBatches(of: ranks.rank)
    let size = recipe.train.microBatch
    carried =
      recipe.train.statePassing > 0
      ? CarriedStates(
        model, lanes: recipe.train.sequencesPerStep,
        own: (microBatches.lowerBound * size)..<(microBatches.upperBound * size),
        probability: recipe.train.statePassing, seed: recipe.run.seed) : nil
    laneState = FloatBuffer(
      count: carried == nil ? 0 : model.stateCount(batch: size))
    products =
      switch precision {
      case .fp32: nil
      case .bf16(let backEnd):
        BFloat16Products(
          backEnd, parameters: parameters.buffer, operandCount: recipe.largestOperandCount(model))
      }
    let answers = FloatBuffer(count: group?.parts ?? 0)
    pass.givesUp = { [unowned ranks] in ranks.givesUp(with: group, answers) }
    samples = StepSamples(recipe, stream, tree: tree, rank: ranks.rank)
    totals =
      stream.sources.count > 1
      ? SourceTotals(samples, leaves: tree.leaves(of: ranks.rank)) : nil
    if let totals {
      pass.observeLoss = { totals.add($1, tokens: $0, batch: size) }
    }
    blockIsFinal = { block, _ in
      if let offset = model.finalGradients(afterBlock: block) {
        reducer.gradientsAreFinal(from: offset)
      }
    }
  }

  /// What the sources of a mixture gave to the last step; empty where there is only one.
  public var sources: [SourceTotal] { totals?.sources ?? [] }

  /// Tokens of one step over all ranks.
  public var tokensPerStep: Int { recipe.train.sequencesPerStep * recipe.data.sequenceLength }

  /// The gradient of the last step, before clipping; sharded, only this rank's part.
  public var gradient: FloatBuffer { reducer.gradient }

  /// Runs step `step`, counted from 1.
  ///
  /// - Returns: what it did; nil on all ranks if it was given up because the run has to stop, and nothing
  ///   has changed.
  /// - Throws: `AgreedError` when data or spilled states cannot be read on some rank;
  ///   `TrainingError.notFinite` before the parameters are touched, unless the recipe says what is to
  ///   happen then; `CollectiveError`.
  public func step(_ step: Int) throws -> StepResult? {
    ranks.activity.enter(.reading, step: step)
    let start = RunClock.seconds
    let batch = spikes.batch(ofStep: step)
    guard try awaitSamples(batch) else { return nil }
    try ranks.agree { try samples.load(batch: batch) }
    let reading = RunClock.seconds - start
    ranks.activity.enter(.computing)
    let sharedBefore = group?.seconds ?? 0
    let weight = try reducer.sum { self.samples.weight(ofLeaf: $0) }
    guard weight > 0 else {
      throw TrainingError.notFinite(step: step, what: "no target of the step has a weight")
    }
    let scale = Float(1 / weight)
    products?.convertWeights()
    let sum = try reducer.reduce { leaf, gradients, isLast in
      self.pass.blockIsFinal = isLast ? self.blockIsFinal : nil
      return try self.attempt {
        try self.gradient(ofLeaf: leaf, step: step, scale: scale, into: gradients)
      }
    }
    let loss = sum / weight
    if loss.isNaN {
      try ranks.agree { if let failure { throw failure } }
      if try ranks.communicator.maximum(pass.isGivenUp ? 1 : 0) == 1 { return nil }
    }
    try totals?.sum(reducer)
    let gradientNorm = try norm(reducer.gradient) { try self.reducer.merge($0, count: $1) }
    var result = StepResult(
      loss: loss, gradientNorm: gradientNorm, learningRate: schedule[step],
      reading: reading, exchange: reducer.seconds)
    result.spike = try spike(step, loss, gradientNorm)
    if result.spike == nil { try update(step, result) }
    result.exchange = reducer.seconds
    result.sequenceExchange = group.map { $0.seconds - sharedBefore }
    return result
  }

  /// Waits until all ranks can read their samples of a batch; collective where any may have to wait.
  ///
  /// - Returns: false on all ranks if one is asked to stop meanwhile.
  /// - Throws: `AgreedError` when some samples cannot come, `CollectiveError`.
  private func awaitSamples(_ batch: Int) throws -> Bool {
    guard samples.mayWait else { return true }
    let start = RunClock.seconds
    while true {
      let isReady = try ranks.agree { try samples.isReady(batch: batch) }
      if try ranks.communicator.maximum(isReady ? 0 : 1) == 0 { return true }
      if try ranks.areAskedToStop() { return false }
      isWaiting(RunClock.seconds - start)
      usleep(10_000)
    }
  }

  /// Moves the parameters by the summed gradient.
  private func update(_ step: Int, _ result: StepResult) throws {
    ranks.activity.enter(.updating)
    try valuesWillChange(step)
    isBetweenSteps = false
    optimizer.update(
      parameters.buffer, gradients: reducer.gradient, step: step, lr: result.learningRate,
      gradientNorm: result.gradientNorm)
    try reducer.shareParts(of: parameters.buffer)
    carried?.moveOn()
    isBetweenSteps = true
    let plan = recipe.train.onSpike
    if plan.policy != .off { spikes.accept(result.loss, window: plan.window) }
  }

  /// The loss sum of a leaf; NaN when it cannot be computed on this rank, or is given up.
  ///
  /// The rank keeps up with the others until all of them see the sum.
  private func attempt(_ leaf: () throws -> Double) throws -> Double {
    guard failure == nil else { return .nan }
    do {
      return try leaf()
    } catch  where group == nil {
      failure = error
      return .nan
    }
  }

  /// Adds the gradient of one micro-batch, or of a part of it, from the states that its lanes carry, its
  /// products in the run's precision.
  private func gradient(
    ofLeaf leaf: Int, step: Int, scale: Float, into gradients: FloatBuffer
  ) throws -> Double {
    let (size, microBatch) = (recipe.train.microBatch, reducer.tree.microBatch(ofLeaf: leaf))
    let lanes = (microBatch * size)..<((microBatch + 1) * size)
    carried?.load(lanes, step: step, into: laneState.pointer)
    totals?.begin(leaf: leaf)
    func gradient() throws -> Double {
      try pass.gradient(
        of: samples.samples(ofLeaf: leaf), scale: scale, parameters: parameters.buffer.pointer,
        accumulatingInto: gradients.pointer,
        stateInPlace: carried == nil ? nil : laneState.pointer)
    }
    let sum = try products?.run(gradient) ?? gradient()
    if !pass.isGivenUp { carried?.store(lanes, from: laneState.pointer) }
    return sum
  }

  /// Whether the step is a spike; the same on all ranks.
  ///
  /// - Throws: `TrainingError.notFinite` where the recipe has no policy; `CollectiveError`.
  private func spike(_ step: Int, _ loss: Double, _ gradientNorm: Double) throws -> Spike? {
    let plan = recipe.train.onSpike
    let deviation =
      plan.policy == .off ? nil : spikes.deviation(of: loss, window: plan.window)
    var what = try notFinite(loss, gradientNorm)
    if plan.policy == .off {
      if let what { throw TrainingError.notFinite(step: step, what: what) }
      return nil
    }
    if what == nil, let deviation, deviation > plan.threshold {
      what = String(
        format: "the loss is %.4f, %.1f standard deviations above those of the %d steps before",
        loss,
        deviation, plan.window)
    }
    return what.map {
      Spike(step: step, loss: loss, gradientNorm: gradientNorm, deviation: deviation, what: $0)
    }
  }

  /// What is not a finite number in a step; nil if all is.
  private func notFinite(_ loss: Double, _ gradientNorm: Double) throws -> String? {
    guard loss.isFinite else { return "the loss is \(loss)" }
    guard !gradientNorm.isFinite else { return nil }
    // A rank may only have its part of the gradient, so all look and the first tensor counts.
    let slots = Array(model.layout.trainableSlots)
    let bad = slots.firstIndex { slot in
      optimizer.ranges.contains { range in
        slot.range.clamped(to: range).contains { !reducer.gradient.pointer[$0].isFinite }
      }
    }
    let first = -(try ranks.communicator.maximum(-(bad ?? slots.count)))
    let name = first < slots.count ? slots[first].name : "no single tensor"
    return "the gradient norm is \(gradientNorm), first in \(name)"
  }

  /// Where the samples of a step's batch come from.
  func origins(ofStep step: Int) -> [StepSamples.Origin] {
    samples.origins(ofBatch: spikes.batch(ofStep: step))
  }

  /// Takes the state of an older checkpoint, to go on without the batches up to a spike's; collective.
  ///
  /// - Parameters:
  ///   - spike: the step that was a spike.
  ///   - path: the checkpoint's directory.
  ///   - finish: what else has to go back to the checkpoint's step, before the state counts as whole.
  /// - Returns: the checkpoint's step.
  /// - Throws: `AgreedError`, and what `finish` throws.
  func goBack(
    from spike: Int, to path: String, finish: (_ step: Int) throws -> Void
  ) throws -> Int {
    isBetweenSteps = false
    let (step, record) = try ranks.agree {
      let reader = try CheckpointReader(path: path)
      try reader.require(recipe.checkpointLayout(model).layout)
      for store in [CheckpointStore(parameters: parameters)] + progress {
        try reader.read(into: store)
      }
      return (
        reader.manifest.step, try TrainingRecord(reader.manifest.training, path: path)
      )
    }
    spikes = spikes.goingBack(from: spike, to: step, losses: record.spikes.losses)
    try finish(step)
    isBetweenSteps = true
    return step
  }

  /// What a checkpoint holds of this training besides parameters, as this rank has it: the optimizer's
  /// state, and the states that lanes carry.
  var progress: [CheckpointStore] {
    optimizerStores + (carried.map { [$0.ownStore] } ?? [])
  }

  /// What this rank's shard of a checkpoint is made from; collective.
  ///
  /// - Throws: `CollectiveError`.
  func storesToSave() throws -> [CheckpointStore] {
    // Of the ranks that share sequences all have the same states, and the first one gives them.
    let states = try carried.map {
      [try $0.shardStore(gives: pass.part == 0, ranks.communicator)]
    }
    return [CheckpointStore(parameters: parameters)] + optimizerStores + (states ?? [])
  }

  /// What every rank has a copy of: the parameters, and the moments where they are not sharded.
  var replicatedStores: [CheckpointStore] {
    [CheckpointStore(parameters: parameters)] + (sharesUpdates ? [] : optimizerStores)
  }

  /// Where the parameters lie that only this rank updates; empty where every rank updates all.
  var ownPart: [UnsafeRawBufferPointer] {
    guard sharesUpdates else { return [] }
    let values = UnsafeBufferPointer(
      start: parameters.buffer.pointer, count: parameters.buffer.count)
    return optimizer.ranges.map {
      UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: values[$0]))
    }
  }

  /// Whether a rank updates only its own part of the parameters and gets the others'.
  var sharesUpdates: Bool { reducer.options.isSharded }

  private var optimizerStores: [CheckpointStore] {
    optimizer.state.map { state in
      let values = state.values
      var parts: [CheckpointStore.Part] = []
      var first = 0
      for range in optimizer.ranges {
        parts.append(.init(range, at: values.bytes + first * values.precision.byteCount))
        first += range.count
      }
      return CheckpointStore(
        state.name, dataType: values.precision == .fp32 ? .float32 : .bfloat16,
        covered: 0..<model.layout.trainableCount, parts: parts, owner: values.owner)
    }
  }
}

extension Recipe {
  /// The tensors of this recipe's checkpoints, and which elements are states that lanes carry.
  func checkpointLayout(_ model: LanguageModel) -> (layout: ParameterLayout, states: Range<Int>) {
    CarriedStates.layout(
      extending: model, lanes: train.statePassing > 0 ? train.sequencesPerStep : 0)
  }
}

extension CheckpointStore {
  /// The parameters, which come first among a checkpoint's tensors.
  init(parameters: ParameterArena) {
    let range = 0..<parameters.layout.count
    self.init(
      "parameters", dataType: .float32, covered: range,
      parts: [.init(range, at: UnsafeMutableRawPointer(parameters.buffer.pointer))],
      owner: parameters.buffer)
  }
}
