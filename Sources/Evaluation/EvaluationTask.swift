import RecallTasks

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

  /// What a task that does not say otherwise is measured with.
  public struct Defaults: Sendable, Equatable {
    /// Tokens of a sample.
    public var sequenceLength: Int
    /// Samples at each length.
    public var samples: Int

    /// Names the numbers.
    public init(sequenceLength: Int, samples: Int) {
      self.sequenceLength = sequenceLength
      self.samples = samples
    }
  }

  /// Reads a task's options.
  ///
  /// Beside the task's own, every task understands `sequence_length` (a number or a list), `samples`,
  /// and `as` (its name in the report). `mqar` with a list of `pairs` becomes one task for each
  /// number of pairs, named `mqar_8` and so on.
  ///
  /// - Parameters:
  ///   - name: one of `RecallTaskConfiguration.names`.
  ///   - options: as a recipe or a command line gives them.
  ///   - defaults: what applies where the options say nothing.
  /// - Returns: one task or several.
  /// - Throws: `RecallTaskError` or `EvaluationError.option`, naming the option.
  public static func tasks(
    name: String, options: [String: TaskOption], defaults: Defaults
  ) throws -> [EvaluationTask] {
    var options = options
    let lengths =
      try positive(options.removeValue(forKey: "sequence_length"), "sequence_length", name)
      ?? [defaults.sequenceLength]
    let samples =
      try positive(options.removeValue(forKey: "samples"), "samples", name) ?? [defaults.samples]
    guard samples.count == 1 else {
      throw EvaluationError.option(task: name, name: "samples", reason: "must be one number")
    }
    var reported = name
    if let other = options.removeValue(forKey: "as") {
      guard case .string(let text) = other, !text.isEmpty else {
        throw EvaluationError.option(task: name, name: "as", reason: "must be a name")
      }
      reported = text
    }
    func task(_ name: String, _ suffix: String) throws -> EvaluationTask {
      EvaluationTask(
        name: reported + suffix,
        configuration: try RecallTaskConfiguration(name: name, options: options), lengths: lengths,
        samples: samples[0])
    }
    guard name == "mqar", case .list(let counts)? = options["pairs"] else {
      return [try task(name, "")]
    }
    return try counts.map { count in
      options["pairs"] = count
      guard case .int(let pairs) = count else { return try task(name, "") }  // refused there
      return try task(name, "_\(pairs)")
    }
  }

  /// Requires that every task has its own name in the report.
  ///
  /// - Throws: `EvaluationError.duplicateName`.
  public static func requireDistinctNames(
    _ tasks: [EvaluationTask]
  ) throws(EvaluationError) {
    var seen: Set<String> = []
    for task in tasks where !seen.insert(task.name).inserted { throw .duplicateName(task.name) }
  }

  private static func positive(
    _ option: TaskOption?, _ name: String, _ task: String
  ) throws -> [Int]? {
    let elements: [TaskOption]
    switch option {
    case nil: return nil
    case .list(let list): elements = list
    case .some(let single): elements = [single]
    }
    let numbers = elements.compactMap { element -> Int? in
      guard case .int(let value) = element, (1...1 << 30).contains(value) else { return nil }
      return value
    }
    guard !numbers.isEmpty, numbers.count == elements.count, Set(numbers).count == numbers.count
    else {
      throw EvaluationError.option(
        task: task, name: name, reason: "must be a whole number between 1 and \(1 << 30)")
    }
    return numbers
  }
}

extension EvaluationTask {
  /// Measures the task.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - seed: what the samples are drawn from.
  ///   - tokenizer: the model's; only tasks on text need one.
  ///   - progress: called with (samples done, samples in all), now and then.
  /// - Returns: scores at each length.
  /// - Throws: `RecallTaskError` or `EvaluationError`.
  public func measure(
    _ model: EvaluatedModel, seed: UInt64, tokenizer: (any Tokenizer)? = nil,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws -> TaskResult {
    var result = TaskResult(name: name, metric: "accuracy", chance: configuration.chance)
    let total = lengths.count * samples
    for (index, length) in lengths.enumerated() {
      let done = index * samples
      if configuration.needsTokenizer {
        guard let tokenizer else { throw RecallTaskError.tokenizerNeeded(task: name) }
        let questions = try GenerationAccuracy(
          configuration, sequenceLength: length, seed: seed, tokenizer: tokenizer, of: model)
        result.metric = questions.metric.rawValue
        let answers = try (0..<samples).map { sample in
          try model.goOn()
          defer { progress(done + sample + 1, total) }
          return try questions.answer(sample, of: samples)
        }
        result.lengths.append(TaskResult.Length(length, answers: answers))
      } else {
        let accuracy = try TokenAccuracy(
          configuration, sequenceLength: length, seed: seed, of: model)
        result.lengths.append(TaskResult.Length(length, scores: try accuracy.scores(0..<samples)))
        progress(done + samples, total)
      }
    }
    return result
  }
}
