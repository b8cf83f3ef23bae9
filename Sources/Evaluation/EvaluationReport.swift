import JSON
import RecallTasks

/// What a model scored on one task.
public struct TaskResult: Sendable, Equatable {
  /// The name in the report.
  public let name: String
  /// The metric's name: `accuracy`, or a text metric's, for example `string_match_all`.
  public var metric: String
  /// The metric of tasks on token ids.
  static let accuracy = "accuracy"

  /// The score of guessing; nil where it is nil, or not known.
  public let chance: Double?
  /// The long text that prompts were made of; nil for tasks without one.
  public var haystack: HaystackSource?
  /// Scores at each sequence length.
  public var lengths: [Length] = []

  /// A task without scores.
  public init(name: String, metric: String, chance: Double?) {
    self.name = name
    self.metric = metric
    self.chance = chance
  }

  /// All samples, whatever their length.
  public var summary: ScoreSummary { ScoreSummary(lengths.flatMap(\.scores)) }

  /// The samples of one length.
  public struct Length: Sendable, Equatable {
    /// Bins of depth: bin `r` of 10 holds needles at depths of at most `(r + 1) / 10`.
    public static let depthBins = 10

    /// The bin of a depth, from 0.
    public static func bin(of depth: Double) -> Int {
      (0..<depthBins).first { depth <= Double($0 + 1) / Double(depthBins) } ?? depthBins - 1
    }

    /// The name of a bin: the largest depth in it.
    public static func name(ofBin bin: Int) -> String {
      "\(Double(bin + 1) / Double(depthBins))"
    }

    /// Tokens of a sample.
    public let sequenceLength: Int
    /// The score of each sample, in order.
    public let scores: [Double]
    /// Scores by depth, `depthBins` lists; empty where the task has no needle.
    public let depths: [[Double]]
    /// Mean tokens and mean UTF-8 bytes of the prompts; nil for tasks on token ids.
    public let prompt: (tokens: Double, bytes: Double)?

    /// The samples of one length.
    public init(_ sequenceLength: Int, _ records: [SampleRecord], metric: String) {
      self.sequenceLength = sequenceLength
      scores = records.compactMap { $0.score(metric) }
      let bins = Self.depthBins
      var depths = [[Double]](repeating: [], count: bins)
      for record in records {
        guard let depth = record.depth, let score = record.score(metric) else { continue }
        depths[Self.bin(of: depth)].append(score)
      }
      self.depths = depths.allSatisfy(\.isEmpty) ? [] : depths
      let prompts = records.compactMap(\.prompt)
      let count = Double(prompts.count)
      prompt =
        prompts.isEmpty
        ? nil
        : (
          Double(prompts.reduce(0) { $0 + $1.tokens }) / count,
          Double(prompts.reduce(0) { $0 + $1.bytes }) / count
        )
    }

    /// Whether everything is equal.
    public static func == (left: Length, right: Length) -> Bool {
      left.sequenceLength == right.sequenceLength && left.scores == right.scores
        && left.depths == right.depths && left.prompt?.tokens == right.prompt?.tokens
        && left.prompt?.bytes == right.prompt?.bytes
    }
  }
}

/// Everything that was measured of one model.
public struct EvaluationReport: Sendable, Equatable {
  /// Loss on stored text.
  public var perplexity: Perplexity.Result?
  /// Recall tasks, in the order in which they were asked for.
  public var tasks: [TaskResult] = []
  /// Tasks of files, in the order in which they were asked for.
  public var fileTasks: [FileTaskResult] = []

  /// A report of what was measured, nothing by default.
  public init(perplexity: Perplexity.Result? = nil, tasks: [TaskResult] = []) {
    self.perplexity = perplexity
    self.tasks = tasks
  }

  /// The numbers of the report, one for each measurement and length, as they are logged.
  ///
  /// `perplexity/nll`, then `mqar_8/accuracy`, also `mqar_8/accuracy/4096` where there are several lengths, then
  /// every metric of tasks in files.
  public var scalars: [(name: String, value: Double, standardError: Double)] {
    var scalars: [(name: String, value: Double, standardError: Double)] = []
    if let perplexity {
      scalars.append(("perplexity/nll", perplexity.nll, perplexity.standardError))
    }
    for task in tasks {
      let name = "\(task.name)/\(task.metric)"
      scalars.append((name, task.summary.mean, task.summary.standardError))
      for length in task.lengths where task.lengths.count > 1 {
        let summary = ScoreSummary(length.scores)
        scalars.append(("\(name)/\(length.sequenceLength)", summary.mean, summary.standardError))
      }
    }
    for task in fileTasks {
      for metric in task.metrics {
        scalars.append(
          ("\(task.name)/\(metric.name)", metric.value.value, metric.value.standardError))
      }
    }
    return scalars
  }

  /// The report as it is written to files, described in `docs/evaluation.md`.
  ///
  /// Numbers that are not finite are `null`.
  public var json: JSONValue {
    var members: [JSONMember] = []
    if let perplexity { members.append(JSONMember("perplexity", perplexity.json)) }
    let all =
      tasks.map { JSONMember($0.name, $0.json) } + fileTasks.map { JSONMember($0.name, $0.json) }
    if !all.isEmpty { members.append(JSONMember("tasks", .object(all))) }
    return .object(members)
  }
}

extension Perplexity.Result {
  fileprivate var json: JSONValue {
    var members = [
      JSONMember("nll", JSONValue(nll)), JSONMember("stderr", JSONValue(standardError)),
      JSONMember("tokens", .integer(tokens)), JSONMember("sequences", .integer(sequenceNLL.count)),
    ]
    if let bitsPerByte {
      members.append(JSONMember("bits_per_byte", JSONValue(bitsPerByte.value)))
      members.append(JSONMember("bits_per_byte_stderr", JSONValue(bitsPerByte.standardError)))
      members.append(JSONMember("bytes", .integer(Int(sequenceBytes.reduce(0, +)))))
    }
    if !positions.isEmpty {
      let bins = positions.map { range, nll in
        JSONMember(
          "\(range.upperBound)",
          .object([
            JSONMember("nll", JSONValue(nll.mean)),
            JSONMember("stderr", JSONValue(nll.standardError)),
          ]))
      }
      members.append(JSONMember("positions", .object(bins)))
    }
    if !tokenNLL.isEmpty {
      members.append(JSONMember("token_nll", .array(tokenNLL.map { JSONValue($0) })))
    }
    return .object(members)
  }
}

extension HaystackSource {
  fileprivate var json: JSONValue {
    .object([
      JSONMember("file", file.map { .string($0) } ?? .null), JSONMember("words", .integer(words)),
      JSONMember("xxh64", .string(hash)),
    ])
  }
}

extension TaskResult {
  fileprivate var json: JSONValue {
    var members = Self.members(metric, summary)
    if let chance { members.append(JSONMember("chance", JSONValue(chance))) }
    if let haystack { members.append(JSONMember("haystack", haystack.json)) }
    members.append(
      JSONMember(
        "lengths",
        .object(lengths.map { JSONMember("\($0.sequenceLength)", $0.json(metric: metric)) })))
    return .object(members)
  }

  fileprivate static func members(_ metric: String, _ summary: ScoreSummary) -> [JSONMember] {
    [
      JSONMember(metric, JSONValue(summary.mean)),
      JSONMember("stderr", JSONValue(summary.standardError)),
      JSONMember("samples", .integer(summary.samples)),
    ]
  }
}

extension TaskResult.Length {
  fileprivate func json(metric: String) -> JSONValue {
    var members = TaskResult.members(metric, ScoreSummary(scores))
    if let prompt {
      members.append(JSONMember("mean_prompt_tokens", JSONValue(prompt.tokens)))
      members.append(JSONMember("mean_prompt_bytes", JSONValue(prompt.bytes)))
    }
    if !depths.isEmpty {
      let bins = depths.enumerated().filter { !$1.isEmpty }.map { bin, scores in
        JSONMember(
          Self.name(ofBin: bin),
          .object(TaskResult.members(metric, ScoreSummary(scores))))
      }
      members.append(JSONMember("depths", .object(bins)))
    }
    return .object(members)
  }
}
