import Fields
import TokenData

/// A recall task as a recipe describes it: a name and options, checked.
public struct RecallTaskConfiguration: Sendable {
  /// The task's name, for example `mqar`.
  public let name: String

  enum Kind {
    case mqar(MQARTask.Configuration)
    case markov(MarkovTextTask.Configuration)
    case copying(CopyingTask.Configuration)
    case stringCopying(StringCopyingTask.Configuration)
    case text(any PromptGenerator)
  }

  let kind: Kind

  /// Whether the task works on text and needs a tokenizer.
  public var needsTokenizer: Bool {
    if case .text = kind { true } else { false }
  }

  /// Reads the long text that the task's prompts are made of; nil for tasks without one.
  ///
  /// - Throws: `RecallTaskError.file` about a file of the user's that cannot be used.
  public func haystack() throws(RecallTaskError) -> HaystackSource? {
    guard case .text(var generator) = kind else { return nil }
    try generator.load()
    return generator.source
  }

  /// Reads a task's options.
  ///
  /// - Parameters:
  ///   - name: one of `names`.
  ///   - options: the task's own options, a mapping; those left out have their defaults.
  /// - Throws: `RecallTaskError.field` naming what is unknown, with the nearest known name, or unusable.
  public init(name: String, options: FieldValue = [:]) throws(RecallTaskError) {
    self = try RecallTaskError.reading { () throws(FieldError) in
      try RecallTaskConfiguration(name: name, decoding: options)
    }
  }

  /// Reads a task's options out of a mapping.
  ///
  /// - Parameters:
  ///   - name: one of `names`.
  ///   - options: the mapping; options left out have their defaults.
  ///   - path: its dotted path.
  ///   - others: keys of the mapping that are not the task's.
  /// - Throws: about a name that does not exist as of the key `task`.
  package init(
    name: String, decoding options: FieldValue, path: String = "", besides others: [String] = []
  ) throws(FieldError) {
    let task = FieldValue(
      .mapping([.init("task", FieldValue(.text(name), place: options.place))]),
      place: options.place)
    let known = try FieldReader(task, path: path, keys: nil).word("task", of: Self.names)
    guard let definition = RecallTaskDefinition.all.first(where: { $0.name == known }) else {
      fatalError("\(known) is a task without a definition")
    }
    self.name = known
    kind = try definition.decode(options, path, others)
  }

  /// The task's stream of samples to train on, or to measure token accuracy on.
  ///
  /// - Parameters:
  ///   - sequenceLength: positions in a sample.
  ///   - seed: the run's seed.
  ///   - stream: training or evaluation.
  ///   - tokenizer: for tasks on text.
  /// - Returns: a source of endless samples.
  /// - Throws: `RecallTaskError` when the options do not go with the length or a tokenizer lacks.
  public func makeSource(
    sequenceLength: Int, seed: UInt64, stream: SampleStream, tokenizer: (any Tokenizer)? = nil
  ) throws(RecallTaskError) -> any SampleSource {
    switch kind {
    case .mqar(let mqar):
      return try MQARTask(
        configuration: mqar, sequenceLength: sequenceLength, seed: seed, stream: stream)
    case .markov(let markov):
      return MarkovTextTask(
        configuration: markov, sequenceLength: sequenceLength, seed: seed, stream: stream)
    case .copying(let copying):
      return try CopyingTask(
        configuration: copying, sequenceLength: sequenceLength, seed: seed, stream: stream)
    case .stringCopying(let copying):
      return try StringCopyingTask(
        configuration: copying, sequenceLength: sequenceLength, seed: seed, stream: stream)
    case .text(let generator):
      guard let tokenizer else { throw .tokenizerNeeded(task: name) }
      return try TextTask(
        generator: generator, sequenceLength: sequenceLength, seed: seed, stream: stream,
        tokenizer: tokenizer)
    }
  }

  /// The task as questions for a model that generates text.
  ///
  /// - Parameters:
  ///   - sequenceLength: tokens of a prompt and what is generated after it.
  ///   - seed: the run's seed.
  ///   - tokenizer: the model's tokenizer.
  /// - Returns: the task, drawing from its evaluation stream.
  /// - Throws: `RecallTaskError`, also when the task is scored on tokens.
  public func makeGenerationTask(
    sequenceLength: Int, seed: UInt64, tokenizer: any Tokenizer
  ) throws(RecallTaskError) -> TextTask {
    guard case .text(let generator) = kind else { throw .notAGenerationTask(task: name) }
    return try TextTask(
      generator: generator, sequenceLength: sequenceLength, seed: seed, stream: .evaluation,
      tokenizer: tokenizer)
  }
}
