import Fields
import JSON
import RecallTasks
import TokenData

/// A recall task as it is measured: which samples, how many, how long, and its name in the report.
public struct EvaluationTask: Sendable {
  /// The name in the report, for example `mqar_16`.
  public let name: String
  /// The task.
  public let configuration: RecallTaskConfiguration
  /// Tokens of a sample; the task is measured at each.
  public let lengths: [Int]
  /// Samples at each length.
  public let samples: Int
  /// The options as they were given.
  private let options: FieldValue

  /// What a task that does not say otherwise is measured with.
  public struct Defaults: Sendable, Equatable {
    /// Tokens of a sample, each of which is measured.
    public var lengths: [Int]
    /// Samples at each length.
    public var samples: Int
    /// The text of tasks that hide needles in one; nil for the generated text.
    public var haystack: String?
    /// The name in the report; nil for the task's.
    public var name: String?

    /// Names the numbers.
    public init(lengths: [Int], samples: Int) {
      self.lengths = lengths
      self.samples = samples
    }

    /// One length.
    public init(sequenceLength: Int, samples: Int) {
      self.init(lengths: [sequenceLength], samples: samples)
    }
  }

  /// Reads a task's options.
  ///
  /// Beside the task's own, every task understands `sequence_length` (a number or a list), `samples`,
  /// and `as` (its name in the report). `mqar` with a list of `pairs` becomes one task for each
  /// number of pairs, named `mqar_8` and so on; so do `phonebook` with `entries`, `text_copying` with
  /// `words` and `classification` with `demonstrations`.
  ///
  /// - Parameters:
  ///   - name: one of `RecallTaskConfiguration.names`.
  ///   - options: a mapping, as a recipe or a command line gives it.
  ///   - defaults: what applies where the options say nothing.
  /// - Returns: one task or several.
  /// - Throws: `RecallTaskError.field`, naming the option.
  public static func tasks(
    name: String, options: FieldValue, defaults: Defaults
  ) throws(RecallTaskError) -> [EvaluationTask] {
    try RecallTaskError.reading { () throws(FieldError) in
      try decode(name, options, defaults)
    }
  }

  /// The key of a measured task's name in the report.
  package static let nameKey = "as"

  /// Keys that every measured task understands.
  private static let keys = ["sequence_length", "samples", nameKey]

  private static func decode(
    _ name: String, _ options: FieldValue, _ defaults: Defaults
  ) throws(FieldError) -> [EvaluationTask] {
    var options = options
    if let text = defaults.haystack, options["haystack"] == nil,
      RecallTaskConfiguration.has(option: "haystack", task: name)
    {
      options["haystack"] = .text(text)
    }
    let reader = try FieldReader(options, keys: nil)
    let lengths = try reader.integers(
      "sequence_length", default: defaults.lengths, .atLeast(1), orOne: true)
    guard !lengths.isEmpty, Set(lengths).count == lengths.count else {
      throw reader.invalid("sequence_length", "expected different lengths, at least one")
    }
    let samples = try reader.integer("samples", default: defaults.samples, .atLeast(1))
    let reported = try reader.text(nameKey, default: defaults.name ?? name)
    func task(_ suffix: String, _ options: FieldValue) throws(FieldError) -> EvaluationTask {
      EvaluationTask(
        name: reported + suffix,
        configuration: try RecallTaskConfiguration(name: name, decoding: options, besides: keys),
        lengths: lengths, samples: samples, options: options)
    }
    guard let measured = RecallTaskConfiguration.measuredOption(of: name),
      case .list(let values)? = options[measured]?.kind, !values.isEmpty
    else { return [try task("", options)] }
    var tasks: [EvaluationTask] = []
    for value in values {
      var single = options
      single[measured] = value
      let suffix: String = if case .integer(let number) = value.kind { "_\(number)" } else { "" }
      tasks.append(try task(suffix, single))
    }
    return tasks
  }

  /// Requires that every task has its own name in the report.
  ///
  /// - Throws: `EvaluationError.duplicateName`.
  public static func requireDistinctNames(_ names: [String]) throws(EvaluationError) {
    var seen: Set<String> = []
    for name in names where !seen.insert(name).inserted { throw .duplicateName(name) }
  }
}

extension EvaluationTask {
  /// Measures the task.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - seed: what the samples are drawn from.
  ///   - tokenizer: the model's; only tasks on text need one.
  /// - Returns: scores at each length.
  /// - Throws: `RecallTaskError` or `EvaluationError`.
  public func measure(
    _ model: EvaluatedModel, seed: UInt64, tokenizer: (any Tokenizer)? = nil
  ) throws -> TaskResult {
    var result = TaskResult(name: name, metric: TaskResult.accuracy, chance: configuration.chance)
    result.haystack = try model.ranks.together { try configuration.haystack() }
    for length in lengths {
      let records: [SampleRecord]
      if configuration.needsTokenizer {
        let questions = try model.ranks.together {
          guard let tokenizer else { throw RecallTaskError.tokenizerNeeded(task: name) }
          return try GenerationAccuracy(
            configuration, sequenceLength: length, seed: seed, tokenizer: tokenizer, of: model,
            name: name)
        }
        result.metric = questions.metric.rawValue
        records = try questions.records(samples)
      } else {
        let accuracy = try model.ranks.together {
          try TokenAccuracy(
            configuration, sequenceLength: length, seed: seed, of: model, name: name)
        }
        records = try accuracy.records(samples)
      }
      result.lengths.append(TaskResult.Length(length, records, metric: result.metric))
    }
    return result
  }

  /// What identifies the task's samples and scores, beside the seed.
  ///
  /// - Throws: `RecallTaskError` when its text cannot be read.
  public func identity() throws(RecallTaskError) -> JSONValue {
    let haystack = try configuration.haystack()
    return .object(
      [
        JSONMember("name", .string(name)), JSONMember("task", .string(configuration.name)),
        JSONMember("options", options.jsonValue),
        JSONMember("lengths", .array(lengths.map { .integer($0) })),
        JSONMember("samples", .integer(samples)),
      ] + (haystack.map { [JSONMember("haystack", .string($0.hash))] } ?? []))
  }
}
