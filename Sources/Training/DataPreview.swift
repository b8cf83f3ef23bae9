import Checkpointing
import DataParallel
import RecallTasks
import TokenData

/// The samples that a rank of a run reads, for people to look at: made by the code that training reads them
/// with, without weights or other ranks.
///
/// Where the run directory has a checkpoint, the run is taken to go on from it: with the mixtures that there
/// were, and without the batches that were left out.
public final class DataPreview {
  /// One sample.
  public struct Sample: Sendable {
    /// The step that reads it, counted from 1.
    public var step: Int
    /// Its number in the run.
    public var number: UInt64
    /// The name of its source, and which one that is.
    public var source: (name: String, index: Int)
    /// How often the source was gone through before.
    public var epoch: UInt64
    /// Its number in the source.
    public var index: UInt64
    /// The documents it has tokens of; nil for samples of tasks.
    public var documents: ClosedRange<Int>?
    /// The file that these are in, where the source has several.
    public var file: String?
    /// Token ids that the model reads.
    public var inputs: [Int32]
    /// Token ids that it is to predict.
    public var targets: [Int32]
    /// What each prediction weighs in the loss.
    public var weights: [Float]
  }

  private let recipe: Recipe
  private let model: RunModel
  private let data: RunData
  private let stream: DataStream
  private let samples: StepSamples
  private let spikes: SpikeHistory

  /// Opens a recipe's data.
  ///
  /// - Parameters:
  ///   - recipe: the run.
  ///   - rank: whose samples are read.
  ///   - ranks: ranks that share the work.
  /// - Throws: what keeps the run from starting or going on, as far as it concerns the data.
  public init(_ recipe: Recipe, rank: Int, ranks: Int) throws {
    try recipe.checkDivision(ranks: ranks)
    self.recipe = recipe
    model = try RunModel(recipe)
    data = try RunData(recipe, model: model)
    let checkpoint = try StartingPoint(.auto, output: recipe.run.output).checkpoint
    let record = try checkpoint.map { path in
      try TrainingRecord(CheckpointReader(path: path).manifest.training, path: path)
    }
    spikes = record?.spikes ?? SpikeHistory()
    stream = try data.stream(phases: record?.phases(resuming: recipe, data, model))
    samples = StepSamples(recipe, stream, tree: recipe.reductionTree(ranks: ranks), rank: rank)
  }

  /// The first samples that the rank reads from a step on; text is tokenized as far as it takes.
  ///
  /// - Parameters:
  ///   - count: how many; fewer where the run ends before.
  ///   - step: the first step, counted from 1.
  /// - Returns: the samples in the order in which they are read.
  /// - Throws: what a source throws when its data are damaged.
  public func samples(_ count: Int, fromStep step: Int) throws -> [Sample] {
    try data.texts.tokenizingElsewhere { wait in
      var found: [Sample] = []
      for step in stride(from: step, through: recipe.train.steps, by: 1) {
        let batch = spikes.batch(ofStep: step)
        try wait { try samples.isReady(batch: batch) }
        try samples.load(batch: batch)
        for (number, source, buffer) in samples.loaded {
          guard found.count < count else { return found }
          found.append(sample(number, source, buffer, step: step))
        }
      }
      return found
    }
  }

  private func sample(
    _ number: UInt64, _ source: Int, _ buffer: SampleBuffer, step: Int
  ) -> Sample {
    let index = stream.origin(ofGlobalSample: number).index
    let samples = stream.sources[source].samples
    let documents = samples.documents(ofSample: index)
    let hasSeveral = (samples as? TokenFileSource)?.files.count ?? 1 > 1
    return Sample(
      step: step, number: number, source: (stream.sources[source].name, source),
      epoch: stream.epoch(ofGlobalSample: number), index: index,
      documents: documents?.numbers, file: hasSeveral ? documents?.file : nil,
      inputs: Array(buffer.inputs), targets: Array(buffer.targets), weights: Array(buffer.weights))
  }

  /// What decodes the samples of a source.
  ///
  /// - Parameters:
  ///   - source: which one.
  ///   - name: the tokenizer of stored tokens, `byte` or a directory; nil for the one that made them, or else that
  ///     of the pretrained model.
  /// - Returns: nil for tasks on token ids, and for stored tokens without a tokenizer.
  /// - Throws: what loading a tokenizer can throw.
  public func tokenizer(ofSource source: Int, named name: String?) throws -> (any Tokenizer)? {
    switch recipe.data.sources[source].kind {
    case .tokens: try name.map { try loadTokenizer($0) } ?? storedTokenizer(ofSource: source)
    case .text: (stream.sources[source].samples as? TextSource)?.corpus.tokenizer
    case .task(let task):
      task.configuration.needsTokenizer
        ? try runTokenizer(task.tokenizer, model: model, user: "the task \(task.name)") : nil
    }
  }
  /// What made the tokens of a source, or else the pretrained model's.
  private func storedTokenizer(ofSource source: Int) throws -> (any Tokenizer)? {
    let files = (stream.sources[source].samples as? TokenFileSource)?.files ?? []
    for manifest in files.compactMap(\.manifest) {
      if let found = try manifest.tokenizer(orIn: model.directory.map { [$0] } ?? []) {
        return found
      }
    }
    return try modelTokenizer(model)
  }
}
