import DataParallel
import LanguageModels
import TokenData

/// The samples of a step that this rank computes, or shares with its group, and no others.
package final class StepSamples {
  private let stream: DataStream
  private let tree: ReductionTree
  private let batch: SampleBatch
  private let samplesPerStep: Int
  /// Samples of a micro-batch.
  private let microBatch: Int
  /// The first micro-batch of this rank.
  private let firstMicroBatch: Int
  /// The source of each sample of the batch.
  private var sources: [Int]
  /// The global number of the batch's first sample.
  private var firstSample: UInt64 = 0

  /// Allocates for the samples of a rank.
  init(_ recipe: Recipe, _ stream: DataStream, tree: ReductionTree, rank: Int) {
    self.stream = stream
    self.tree = tree
    samplesPerStep = recipe.train.sequencesPerStep
    microBatch = recipe.train.microBatch
    let microBatches = tree.microBatches(of: rank)
    firstMicroBatch = microBatches.lowerBound
    batch = SampleBatch(
      sampleCount: microBatches.count * microBatch, sequenceLength: recipe.data.sequenceLength,
      tracksDocuments: recipe.data.resetsStateAtDocuments)
    sources = Array(repeating: 0, count: batch.sampleCount)
  }

  /// Called with the number in the run and the data of every sample that this process has read.
  ///
  /// That is before the sample is used. Tests prove with it what a run consumes.
  package nonisolated(unsafe) static var observer: ((UInt64, SampleBuffer) -> Void)?

  /// The sources of the samples.
  var sourceNames: [String] { stream.sources.map(\.name) }

  /// Tokens predicted in a sample.
  var sequenceLength: Int { batch.sequenceLength }

  /// Whether samples may have to be waited for; the same on all ranks.
  var mayWait: Bool { stream.sources.contains { $0.samples is TextSource } }

  /// Whether this rank's samples of batch `number` can be read.
  ///
  /// - Throws: what keeps them from ever being read.
  func isReady(batch number: Int) throws -> Bool {
    let first = firstSample(ofBatch: number)
    for index in sources.indices where try !stream.isReady(globalSample: first + UInt64(index)) {
      return false
    }
    return true
  }

  private func firstSample(ofBatch number: Int) -> UInt64 {
    UInt64(number - 1) * UInt64(samplesPerStep) + UInt64(firstMicroBatch * microBatch)
  }

  /// Reads this rank's samples of batch `number`, counted from 1: that of the step of that number, unless
  /// batches were left out.
  ///
  /// - Throws: what a source throws when its data are damaged.
  func load(batch number: Int) throws {
    firstSample = firstSample(ofBatch: number)
    for index in sources.indices {
      let sample = firstSample + UInt64(index)
      sources[index] = stream.source(ofGlobalSample: sample)
      try stream.write(globalSample: sample, into: batch[index])
      Self.observer?(sample, batch[index])
    }
  }

  /// This rank's samples of the batch that was read, by their global numbers.
  var loaded: [(sample: UInt64, source: Int, buffer: SampleBuffer)] {
    sources.indices.map { (firstSample + UInt64($0), sources[$0], batch[$0]) }
  }

  /// Where all samples of batch `number` come from, those of other ranks included.
  func origins(ofBatch number: Int) -> [Origin] {
    let first = UInt64(number - 1) * UInt64(samplesPerStep)
    return (first..<(first + UInt64(samplesPerStep))).map { sample in
      let (number, index) = stream.origin(ofGlobalSample: sample)
      let source = stream.sources[number]
      return Origin(
        sample: sample, source: source.name, index: index,
        documents: source.samples.documents(ofSample: index))
    }
  }

  /// The samples of the micro-batch that a leaf is, or is a part of.
  func samples(ofLeaf leaf: Int) -> SequenceSamples {
    let row = first(ofLeaf: leaf) * sequenceLength
    guard let inputs = batch.inputs.baseAddress, let targets = batch.targets.baseAddress,
      let weights = batch.weights.baseAddress
    else { fatalError("a leaf has samples") }
    return SequenceSamples(
      inputs: inputs + row, targets: targets + row, weights: weights + row,
      history: (batch.history?.baseAddress).map { UnsafePointer($0 + row) })
  }

  /// The source of sample `index` of a leaf's micro-batch.
  func source(ofLeaf leaf: Int, _ index: Int) -> Int { sources[first(ofLeaf: leaf) + index] }

  /// The weight of a micro-batch, counted once: with its first part.
  func weight(ofLeaf leaf: Int) -> Double {
    sum(ofLeaf: leaf, source: nil) { Double($0) }
  }

  /// The weight of a micro-batch's samples of one source, counted with its first part.
  func weight(ofLeaf leaf: Int, source: Int) -> Double {
    sum(ofLeaf: leaf, source: source) { Double($0) }
  }

  /// The targets that count of a micro-batch's samples of one source, counted with its first part.
  func targets(ofLeaf leaf: Int, source: Int) -> Double {
    sum(ofLeaf: leaf, source: source) { $0 != 0 ? 1 : 0 }
  }

  private func sum(ofLeaf leaf: Int, source: Int?, _ value: (Float) -> Double) -> Double {
    guard tree.part(ofLeaf: leaf) == 0 else { return 0 }
    let first = first(ofLeaf: leaf)
    var sum = 0.0
    for index in first..<(first + microBatch) where source == nil || sources[index] == source {
      for row in (index * sequenceLength)..<((index + 1) * sequenceLength) {
        sum += value(batch.weights[row])
      }
    }
    return sum
  }

  /// Where a leaf's micro-batch begins in the batch.
  private func first(ofLeaf leaf: Int) -> Int {
    (tree.microBatch(ofLeaf: leaf) - firstMicroBatch) * microBatch
  }
}
