import JSON
import LanguageModels
import TokenData

extension FileTask {
  /// Samples that are answered together, at least; more where more have the same context.
  static let unitSize = 8

  /// Checks every sample against the model, before anything is measured.
  ///
  /// - Parameters:
  ///   - vocabulary: ids of the model.
  ///   - tokenizer: the model's; only tasks on text need one.
  /// - Throws: `EvaluationError.taskFile` naming file and line of a sample that does not fit, `.token`.
  public func check(vocabulary: Int, tokenizer: (any Tokenizer)?) throws {
    for (index, sample) in samples.enumerated() {
      let ids: [Int32]
      if case .tokens(let inputs, let labels) = sample.question {
        ids = inputs + labels
      } else {
        let prepared = try prompts(tokenizer).prepare(index)
        ids = prepared.sequences.flatMap { $0.context + $0.continuation }
      }
      if let id = ids.first(where: { Int($0) >= vocabulary }) {
        throw EvaluationError.taskFile(
          "\(sample.place): the token id \(id) is outside the model's vocabulary of \(vocabulary)")
      }
    }
  }

  private func prompts(_ tokenizer: (any Tokenizer)?) throws(EvaluationError) -> FileTaskPrompts {
    guard let tokenizer else { throw .taskFile("\(name): the task needs a tokenizer") }
    return FileTaskPrompts(task: self, tokenizer: tokenizer)
  }

  /// Measures the task; collective.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - tokenizer: the model's; only tasks on text need one.
  /// - Returns: the metrics, the same on any number of ranks.
  /// - Throws: `EvaluationError`.
  public func measure(
    _ model: EvaluatedModel, tokenizer: (any Tokenizer)?
  ) throws -> FileTaskResult {
    let records =
      try kind == .tokenRecall
      ? recallRecords(model) : textRecords(model, try prompts(tokenizer))
    return FileTaskResult(self, records)
  }

  /// A sample's id as it is logged.
  private func id(_ index: Int) -> JSONValue {
    switch samples[index].id {
    case .text(let text): .string(text)
    case .number(let number): .integer(number)
    }
  }

  // MARK: Texts

  private func textRecords(
    _ model: EvaluatedModel, _ prompts: FileTaskPrompts
  ) throws -> [SampleRecord] {
    let scorer = RequestScorer(model, tokenizer: prompts.tokenizer)
    return try model.records(name, length: 0, units: units, id: id) { unit in
      let prepared = try unit.map { try prompts.prepare($0) }
      let before = scorer.work.computedTokens
      let requests = prepared.flatMap { scoringRequests($0, prompts.tokenizer) }
      let outcomes = scorer.answers(to: requests)
      guard !scorer.isGivenUp else { throw EvaluationError.interrupted }
      let answers = try outcomes.map { outcome in
        guard let answer = try? outcome.get() else {
          throw EvaluationError.notFinite(what: "an answer in task \(name)")
        }
        return answer
      }
      var rest = answers[...]
      var records = zip(unit, prepared).map { index, prepared in
        let own = rest.prefix(prepared.sequences.count)
        rest = rest.dropFirst(own.count)
        return record(index, prepared, Array(own))
      }
      let computed = scorer.work.computedTokens - before
      records[0].scores.append(.init("computed_tokens", Double(computed)))
      return records
    }
  }

  /// Consecutive samples; those with the same context are not parted.
  private var units: [Range<Int>] {
    var units: [Range<Int>] = []
    var first = 0
    for index in samples.indices.dropFirst()
    where index - first >= Self.unitSize && samples[index].shared != samples[index - 1].shared {
      units.append(first..<index)
      first = index
    }
    return units + [first..<samples.count]
  }

  private func scoringRequests(
    _ prepared: PreparedSample, _ tokenizer: any Tokenizer
  ) -> [ScoringRequest] {
    prepared.sequences.map { sequence in
      let kind: ScoringRequest.Kind =
        self.kind == .generate
        ? .generation(
          until: generation.stops, stopTokens: [tokenizer.endOfText].compactMap { $0 },
          maximumNewTokens: prepared.maximumNewTokens)
        : .likelihood(
          continuation: sequence.continuation, isGreedy: metrics.contains(.greedyMatch))
      return ScoringRequest(id: .null, context: sequence.context, kind: kind)
    }
  }

  private func record(
    _ index: Int, _ prepared: PreparedSample, _ answers: [RequestScorer.Answer]
  ) -> SampleRecord {
    let sample = samples[index]
    var record = SampleRecord(id: id(index))
    var likelihoods: [Double] = []
    for answer in answers {
      switch answer {
      case .likelihood(let nats, let isGreedy):
        likelihoods.append(nats)
        if let isGreedy { record.scores.append(.init("greedy_match", isGreedy ? 1 : 0)) }
      case .generation(_, let text):
        record.prediction = text ?? ""
        record.scores += FileTaskScoring.text(text ?? "", answers: sample.answers, match: match)
      }
    }
    switch sample.question {
    case .choices(_, let choices):
      choose(choices, names: choices, likelihoods, prepared, &record, gold: sample.gold)
    case .contexts(let contexts, _):
      choose(nil, names: contexts, likelihoods, prepared, &record, gold: sample.gold)
    case .likelihood(_, let target):
      record.scores.append(.init("nll", -likelihoods.reduce(0, +)))
      record.scores += FileTaskScoring.sizes(target)
    case .rolling(let text):
      record.scores.append(.init("nll", -likelihoods.reduce(0, +)))
      record.scores += FileTaskScoring.sizes(text)
    case .generate, .tokens: break
    }
    record.prompt = SampleRecord.Prompt(
      prepared.prompt, tokens: prepared.sequences.map(\.context.count).max() ?? 0)
    let asked = prepared.sequences.reduce(0) { $0 + $1.context.count + $1.continuation.count }
    record.scores.append(.init("tokens", Double(asked)))
    if prepared.isCut { record.scores.append(.init("cut", 1)) }
    return record
  }

  private func choose(
    _ choices: [String]?, names: [String], _ likelihoods: [Double], _ prepared: PreparedSample,
    _ record: inout SampleRecord, gold: [Int]
  ) {
    let (scores, chosen) = FileTaskScoring.choice(
      likelihoods: likelihoods, tokens: prepared.sequences.map(\.continuation.count),
      choices: choices, gold: gold, comparesMeans: comparesMeans)
    record.scores += scores
    record.prediction = names[chosen]
  }

  // MARK: Token ids

  private func recallRecords(_ model: EvaluatedModel) throws -> [SampleRecord] {
    var last: (length: Int, batches: SampleBatches)?
    return try model.records(name, length: 0, units: recallUnits(model), id: id) { unit in
      let length = samples[unit.lowerBound].tokenCount
      if last?.length != length { last = nil }
      let batches = last?.batches ?? SampleBatches(model, FileTaskRows(samples, length: length))
      last = (length, batches)
      return try batches.run(unit) { samples, pass in
        try TokenAccuracy.scored(
          samples, pass, first: 0, parameters: model.parameters, task: name,
          metric: "token_accuracy")
      }.enumerated().map { place, record in
        SampleRecord(id: id(unit.lowerBound + place), scores: record.scores)
      }
    }
  }

  /// Consecutive samples of the same length, as many as run side by side.
  private func recallUnits(_ model: EvaluatedModel) -> [Range<Int>] {
    var units: [Range<Int>] = []
    var first = 0
    for index in samples.indices.dropFirst() {
      let length = samples[first].tokenCount
      let size = EvaluatedModel.batch(
        model.model, length: length, segmentLength: model.segmentLength)
      guard samples[index].tokenCount != length || index - first >= size else { continue }
      units.append(first..<index)
      first = index
    }
    return units + [first..<samples.count]
  }
}

extension FileTaskSample {
  /// What samples may have in common.
  fileprivate var shared: String {
    if case .generate(let context, _) = question { context } else { context }
  }

  /// Ids of a sample of ids.
  var tokenCount: Int {
    if case .tokens(let inputs, _) = question { inputs.count } else { 0 }
  }
}

/// Rows of ids of a task's file.
private final class FileTaskRows: SampleSource {
  let sequenceLength: Int
  let sampleCount: Int?
  let requiredVocabulary = 0
  private let samples: [FileTaskSample]

  init(_ samples: [FileTaskSample], length: Int) {
    self.samples = samples
    sequenceLength = length
    sampleCount = samples.count
  }

  func write(sample index: UInt64, into buffer: SampleBuffer) {
    guard case .tokens(let inputs, let labels) = samples[Int(index)].question else { return }
    for position in inputs.indices {
      buffer.inputs[position] = inputs[position]
      buffer.targets[position] = max(labels[position], 0)
      buffer.weights[position] = labels[position] < 0 ? 0 : 1
    }
  }
}
