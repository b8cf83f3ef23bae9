import JSON

/// What a model scored on a task of a file.
public struct FileTaskResult: Sendable, Equatable {
  /// A metric over some samples.
  public struct Metric: Sendable, Equatable {
    /// Its name.
    public let name: String
    /// The number and its standard error.
    public let value: MetricValue
  }

  /// Samples that have the same value of a field.
  public struct Group: Sendable, Equatable {
    /// The field of `group_by`.
    public let field: String
    /// Its value.
    public let value: String
    /// How many samples have it.
    public let samples: Int
    /// Their metrics.
    public let metrics: [Metric]
  }

  /// The name in the report.
  public let name: String
  /// The metrics; the first is the task's own.
  public let metrics: [Metric]
  /// Samples measured.
  public let samples: Int
  /// Metrics by the fields that the task names.
  public let groups: [Group]
  /// Samples of which something was cut off.
  public let cutSamples: Int

  private let provenance: [JSONMember]
  private let work: [JSONMember]

  init(_ task: FileTask, _ records: [SampleRecord]) {
    func metrics(_ records: [SampleRecord]) -> [Metric] {
      task.metrics.map { Metric(name: $0.rawValue, value: $0.value(records)) }
    }
    name = task.name
    samples = records.count
    self.metrics = metrics(records)
    cutSamples = records.count { $0.score("cut") == 1 }
    groups = task.groups.enumerated().flatMap { place, field in
      let values = task.samples.map { $0.groups[place] }
      var seen: Set<String> = []
      return values.filter { seen.insert($0).inserted }.map { value in
        let own = zip(values, records).filter { $0.0 == value }.map(\.1)
        return Group(field: field, value: value, samples: own.count, metrics: metrics(own))
      }
    }
    let texts = [("source", task.source), ("license", task.license), ("files", task.fingerprint)]
    provenance = texts.compactMap { name, text in text.map { JSONMember(name, .string($0)) } }
    work = Self.work(records)
  }

  /// Tokens of prompts, and how many the model read of all it was asked about.
  private static func work(_ records: [SampleRecord]) -> [JSONMember] {
    let prompts = records.compactMap { $0.prompt?.tokens }
    guard let least = prompts.min(), let most = prompts.max() else { return [] }
    func sum(_ name: String) -> JSONValue {
      .integer(Int(records.reduce(0) { $0 + ($1.score(name) ?? 0) }))
    }
    let mean = Double(prompts.reduce(0, +)) / Double(prompts.count)
    return [
      JSONMember(
        "prompt_tokens",
        .object([
          JSONMember("min", .integer(least)), JSONMember("mean", JSONValue(mean)),
          JSONMember("max", .integer(most)),
        ])),
      JSONMember("tokens", sum("tokens")), JSONMember("computed_tokens", sum("computed_tokens")),
    ]
  }

  package var json: JSONValue {
    var members = Self.members(metrics, samples)
    members += work
    if cutSamples > 0 { members.append(JSONMember("cut_samples", .integer(cutSamples))) }
    members += provenance
    if !groups.isEmpty {
      var fields: [JSONMember] = []
      for group in groups {
        let value = JSONMember(group.value, .object(Self.members(group.metrics, group.samples)))
        var values: [JSONMember] = []
        if case .object(let known)? = fields[group.field] { values = known }
        fields[group.field] = .object(values + [value])
      }
      members.append(JSONMember("groups", .object(fields)))
    }
    return .object(members)
  }

  /// The first metric as every task reports its own, and all of them.
  private static func members(_ metrics: [Metric], _ samples: Int) -> [JSONMember] {
    var members: [JSONMember] = []
    if let first = metrics.first {
      members.append(JSONMember(first.name, JSONValue(first.value.value)))
      members.append(JSONMember("stderr", JSONValue(first.value.standardError)))
    }
    members.append(JSONMember("samples", .integer(samples)))
    guard metrics.count > 1 else { return members }
    let all = metrics.map { metric in
      JSONMember(
        metric.name,
        .object([
          JSONMember("value", JSONValue(metric.value.value)),
          JSONMember("stderr", JSONValue(metric.value.standardError)),
        ]))
    }
    return members + [JSONMember("metrics", .object(all))]
  }
}
