import Foundation
import Kernels
import LanguageModels
import Layers
import TensorStorage
import TokenData

/// `--debug`: is this recipe's model computed right on this machine? One process, no launcher.
///
/// Checks the gradient of every parameter group of a shrunken copy of the model against finite
/// differences in `Double`; runs the recipe's own first micro-batch with a trap for NaN and infinity
/// that names layer and tensor; prints how large activations and gradients are in each layer; and
/// computes the gradient again, on other numbers of threads, to compare bit for bit.
public struct DebugRun {
  private var recipe: Recipe
  private let ranks: Ranks

  /// Prepares a check of the recipe's model on one rank, whatever `parallel` says of several.
  ///
  /// - Throws: `TrainingError.launch` when there is more than one rank.
  public init(_ recipe: Recipe, ranks: Ranks) throws {
    guard ranks.size == 1 else {
      throw TrainingError.launch("--debug is for one process; start it without a launcher")
    }
    self.recipe = recipe
    self.recipe.parallel.sequenceRanks = 1
    self.ranks = ranks
  }

  /// Runs all checks, prints what they found, and says whether all passed.
  public func run() throws -> Bool {
    configureBLAS()
    let inputs = try RunInputs(
      recipe, ranks: 1, precision: RunPrecision(recipe.train.precision).products)
    let (run, data) = (inputs.model, inputs.data)
    try data.checkTokens()
    let gradients = try GradientCheck(run.configuration, seed: recipe.run.seed).run()
    let batch = try firstMicroBatch(data)
    let parameters = try run.initialParameters()
    let probe = ModelProbe(
      run.languageModel(), parameters: parameters, batch: batch,
      segmentLength: recipe.train.segmentLength)
    let numbers = try probe.traceLayers()
    let threads = recipe.parallel.threadsPerRank ?? AllowedProcessors.current().count
    let bits = try probe.compareRuns(threads: Array(Set([1, 2, threads])).sorted())
    let passed = gradients && numbers && bits
    print(passed ? "debug: pass" : "debug: FAIL")
    return passed
  }

  /// The recipe's first micro-batch, cut to two segments.
  private func firstMicroBatch(_ data: RunData) throws -> SampleBatch {
    let whole = SampleBatch(
      sampleCount: recipe.train.microBatch, sequenceLength: recipe.data.sequenceLength)
    let stream = try data.stream()
    try data.texts.tokenizingElsewhere { wait in
      for index in 0..<whole.sampleCount {
        try wait { try stream.isReady(globalSample: UInt64(index)) }
        try stream.write(globalSample: UInt64(index), into: whole[index])
      }
    }
    let length = min(recipe.data.sequenceLength, 2 * recipe.train.segmentLength)
    let batch = SampleBatch(sampleCount: whole.sampleCount, sequenceLength: length)
    for index in 0..<whole.sampleCount {
      // The end of the sample: recall tasks ask there.
      let from = recipe.data.sequenceLength - length
      _ = batch[index].inputs.update(fromContentsOf: whole[index].inputs[from...])
      _ = batch[index].targets.update(fromContentsOf: whole[index].targets[from...])
      _ = batch[index].weights.update(fromContentsOf: whole[index].weights[from...])
    }
    return batch
  }
}

/// Runs a micro-batch through a model and looks at it.
struct ModelProbe {
  private let model: LanguageModel
  private let parameters: ParameterArena
  private let batch: SampleBatch
  private let pass: SequencePass
  private let samples: SequenceSamples
  private let scale: Float

  init(
    _ model: LanguageModel, parameters: ParameterArena, batch: SampleBatch, segmentLength: Int
  ) {
    self.model = model
    self.parameters = parameters
    self.batch = batch
    pass = SequencePass(
      model, batch: batch.sampleCount, length: batch.sequenceLength, segmentLength: segmentLength)
    guard let inputs = batch.inputs.baseAddress, let targets = batch.targets.baseAddress,
      let weights = batch.weights.baseAddress
    else { fatalError("a micro-batch has samples") }
    samples = SequenceSamples(inputs: inputs, targets: targets, weights: weights)
    scale = 1 / max(batch.weights.reduce(0, +), 1)
  }

  /// Prints root-mean-square activations, their gradients and each layer's parameter gradient; fails
  /// on the first number that is not finite.
  func traceLayers() throws -> Bool {
    var forward = [LayerTrace](repeating: LayerTrace(), count: model.blocks.count)
    var backward = forward
    var trap: String?
    let width = model.width
    pass.observer = SequencePass.Observer(
      forward: { segment, block, values, rows in
        forward[block].add(values, count: rows * width)
        if trap == nil, !forward[block].isFinite {
          trap = "layer \(block), output, segment \(segment)"
        }
      },
      backward: { segment, block, values, rows in
        backward[block].add(values, count: rows * width)
        if trap == nil, !backward[block].isFinite {
          trap = "layer \(block), gradient of its input, segment \(segment)"
        }
      })
    let gradients = ParameterArena(layout: model.layout)
    let loss = try pass.gradient(
      of: samples, scale: scale, parameters: parameters.buffer.pointer,
      accumulatingInto: gradients.buffer.pointer)
    pass.observer = nil
    print("layer  activation RMS  gradient RMS  parameter gradient norm")
    for block in model.blocks.indices {
      let norm = parameterNorm(gradients, block)
      print(
        String(
          format: "%5d  %14.4e  %12.4e  %23.4e", block, forward[block].rms, backward[block].rms,
          norm))
    }
    if trap == nil, let slot = firstBadSlot(gradients) { trap = "gradient of \(slot)" }
    if trap == nil, !loss.isFinite { trap = "the loss" }
    print(
      trap.map { "numbers: FAIL: the first value that is not finite: \($0)" }
        ?? "numbers: pass: all finite")
    return trap == nil
  }

  private func parameterNorm(_ gradients: ParameterArena, _ block: Int) -> Double {
    let prefix = model.configuration.family.layerPrefix(block)
    let sum = model.layout.slots.filter { $0.name.hasPrefix(prefix) }.reduce(0.0) {
      $0 + sumOfSquares(gradients.pointer($1), $1.count)
    }
    return sum.squareRoot()
  }

  private func firstBadSlot(_ gradients: ParameterArena) -> String? {
    model.layout.slots.first { slot in
      !sumOfSquares(gradients.pointer(slot), slot.count).isFinite
    }?.name
  }

  /// Computes the gradient twice on each number of threads and compares everything bit for bit.
  func compareRuns(threads: [Int]) throws -> Bool {
    let first = FloatBuffer(count: model.layout.count)
    let again = FloatBuffer(count: model.layout.count)
    var firstLoss: Double?
    defer { ThreadPool.configure(threadCount: 1) }
    for count in threads.flatMap({ [$0, $0] }) {
      ThreadPool.configure(threadCount: count)
      let target = firstLoss == nil ? first : again
      target.fill(0)
      let loss = try pass.gradient(
        of: samples, scale: scale, parameters: parameters.buffer.pointer,
        accumulatingInto: target.pointer)
      if let firstLoss {
        let equal =
          memcmp(first.pointer, again.pointer, 4 * first.count) == 0
          && loss.bitPattern == firstLoss.bitPattern
        guard equal else {
          print("repetition: FAIL: results differ on \(count) threads")
          return false
        }
      } else {
        firstLoss = loss
      }
    }
    let list = threads.map(String.init).joined(separator: ", ")
    print("repetition: pass: the same bits twice on each of \(list) threads")
    return true
  }
}

/// Running mean square of a layer's numbers.
private struct LayerTrace {
  private var sum = 0.0
  private var count = 0

  mutating func add(_ values: UnsafePointer<Float>, count: Int) {
    sum += sumOfSquares(values, count)
    self.count += count
  }

  var isFinite: Bool { sum.isFinite }
  var rms: Double { (sum / Double(max(count, 1))).squareRoot() }
}
