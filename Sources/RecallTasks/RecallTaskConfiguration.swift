import ErrorReporting

/// A recall task as a recipe describes it: a name and options, checked.
public struct RecallTaskConfiguration: Sendable {
  /// Every task's name.
  public static let names =
    ["mqar", "markov", "copying", "selective_copying", "passkey", "phonebook"]
    + NeedlePrompts.Kind.allCases.map(\.rawValue)

  /// The task's name, for example `mqar`.
  public let name: String

  enum Kind {
    case mqar(MQARTask.Configuration)
    case markov(MarkovTextTask.Configuration)
    case copying(CopyingTask.Configuration)
    case text(any PromptGenerator)
  }

  let kind: Kind

  /// Whether the task works on text and needs a tokenizer.
  public var needsTokenizer: Bool {
    if case .text = kind { true } else { false }
  }

  /// Reads a task's options.
  ///
  /// - Parameters:
  ///   - name: one of `names`.
  ///   - options: the task's own options; those left out have their defaults.
  /// - Throws: `RecallTaskError` naming what is unknown, with the nearest known name, or unusable.
  public init(name: String, options: [String: TaskOption]) throws(RecallTaskError) {
    self.name = name
    var reader = TaskOptionReader(task: name, options: options)
    switch name {
    case "mqar": kind = .mqar(try Self.mqar(&reader))
    case "markov": kind = .markov(try Self.markov(&reader))
    case "copying", "selective_copying":
      var copying = CopyingTask.Configuration(selective: name == "selective_copying")
      copying.vocabulary = try reader.int("vocab") ?? copying.vocabulary
      copying.tokens = try reader.int("tokens") ?? copying.tokens
      kind = .copying(copying)
    default: kind = .text(try Self.text(name, &reader))
    }
    try reader.finish()
  }

  private static func mqar(
    _ reader: inout TaskOptionReader
  ) throws(RecallTaskError) -> MQARTask.Configuration {
    var mqar = MQARTask.Configuration()
    mqar.vocabulary = try reader.int("vocab") ?? mqar.vocabulary
    mqar.pairs = try reader.ints("pairs") ?? mqar.pairs
    mqar.layout = try reader.choice("layout", of: MQARTask.Layout.self) ?? mqar.layout
    mqar.powerA = try reader.double("power_a") ?? mqar.powerA
    mqar.randomNonQueries = try reader.bool("random_non_queries") ?? mqar.randomNonQueries
    mqar.keys = try reader.int("keys")
    mqar.values = try reader.int("values")
    return mqar
  }

  private static func markov(
    _ reader: inout TaskOptionReader
  ) throws(RecallTaskError) -> MarkovTextTask.Configuration {
    var markov = MarkovTextTask.Configuration()
    markov.symbols = try reader.int("symbols") ?? markov.symbols
    markov.firstID = try reader.int("first_id") ?? markov.firstID
    markov.beginning = try reader.int("bos") ?? markov.beginning
    if let seed = try reader.int("table_seed") {
      markov.tableSeed = UInt64(bitPattern: Int64(seed))
    }
    return markov
  }

  /// Tokens to generate at most.
  private static let mostNewTokens = 1 << 20

  private static func text(
    _ name: String, _ reader: inout TaskOptionReader
  ) throws(RecallTaskError) -> any PromptGenerator {
    let budget = try reader.int("max_new_tokens")
    if let budget, !(1...mostNewTokens).contains(budget) {
      throw reader.invalid("max_new_tokens", "must be between 1 and \(mostNewTokens)")
    }
    let questions = try reader.int("questions") ?? 1
    func requireQuestions(atMost most: Int) throws(RecallTaskError) {
      guard questions >= 1, questions <= most else {
        throw reader.invalid("questions", "is \(questions), not between 1 and \(most)")
      }
    }
    if name == "passkey" {
      let fill = try reader.choice("fill", of: PasskeyPrompts.Fill.self) ?? .exact
      try requireQuestions(atMost: fill == .exact ? 256 : 1)
      return PasskeyPrompts(fill: fill, maximumNewTokens: budget, questions: questions)
    }
    if name == "phonebook" {
      let entries = try reader.int("entries") ?? 20
      guard entries >= 3, entries <= PhonebookPrompts.nameCount else {
        throw reader.invalid(
          "entries", "is \(entries), not between 3 and \(PhonebookPrompts.nameCount)")
      }
      try requireQuestions(atMost: entries - 2)
      return PhonebookPrompts(
        entries: entries, maximumNewTokens: budget ?? 50, questions: questions)
    }
    guard let kind = NeedlePrompts.Kind(rawValue: name) else {
      throw .unknownTask(name: name, nearest: nearestName(to: name, among: names))
    }
    try requireQuestions(atMost: 256)
    return NeedlePrompts(kind: kind, maximumNewTokens: budget ?? 128, questions: questions)
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
      return try MarkovTextTask(
        configuration: markov, sequenceLength: sequenceLength, seed: seed, stream: stream)
    case .copying(let copying):
      return try CopyingTask(
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
