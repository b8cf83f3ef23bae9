import Evaluation
import Files
import JSON
import RecallTasks

/// What a number says: a task's metric, over all samples or those of one length, depth or group.
package struct MeasuredKey: Hashable, Sendable {
  package var task: String
  package var metric: String
  /// Tokens of a sample; nil for all lengths.
  package var length: Int?
  /// The largest depth of the bin; nil for all depths.
  package var depth: String?
  /// `field=value` of a task file's group; nil for all.
  package var group: String?

  /// Whether it is over all samples of the task.
  package var isWhole: Bool { length == nil && depth == nil && group == nil }

  /// Whether the metric is a share from 0 to 1, which people read in percent.
  package var isShare: Bool {
    !["nll", "perplexity", "bits_per_byte", "byte_perplexity", "word_perplexity"].contains(metric)
  }
}

/// A number with its standard error.
package struct MeasuredValue: Sendable {
  /// The number.
  package let value: Double
  /// Nil where a report of an earlier version has none.
  package let standardError: Double?
  /// How many samples it is over; nil where it is not known.
  package let samples: Int?
}

/// One report, run or log of samples, under its title.
package struct MeasuredColumn: Sendable {
  /// What it is called.
  package let title: String
  /// In the order of the source.
  package private(set) var values: [(key: MeasuredKey, value: MeasuredValue)] = []
  /// The log's first line and its samples' scores; nil for a report, which has none.
  package private(set) var log: (header: [JSONMember], scores: [MeasuredKey: [String: Double]])?
  /// What guessing scores, by task.
  package private(set) var chances: [String: Double] = [:]
  /// The loss by position in nats: each bin with the number of tokens where it ends.
  package private(set) var positions: [(end: Int, loss: MeasuredValue)] = []

  /// A report of `statex evaluate`, or a row of a run's evaluations.
  package init(title: String, report: JSONValue) {
    self.title = title
    read(report)
  }

  /// Reads what is at a path.
  ///
  /// - Throws: `ReportError.data` when it is no evaluation; what reading a log of samples throws.
  package init(title: String, path: String) throws {
    self.title = title
    if try FileSystem.kind(of: path) == .directory {
      try read(row: path + "/evaluation.jsonl")
    } else if let (header, samples) = try SampleLog.read(path) {
      read(header, samples)
    } else if path.hasSuffix(".jsonl") {
      try read(row: path)
    } else {
      let json = try? JSONValue(contentsOf: path)
      guard let json, json["perplexity"] != nil || json["tasks"] != nil else {
        // Say that it cannot be opened if that is the reason.
        _ = try InputFile.contents(of: path)
        throw ReportError.data(path, "neither a report nor a log of samples of `statex evaluate`")
      }
      read(json)
    }
  }

  /// The last row of a run's evaluations.
  private mutating func read(row path: String) throws {
    let lines = try InputFile.contents(of: path).split(separator: UInt8(ascii: "\n"))
    let row = lines.last.flatMap { line in
      Array(line).withUnsafeBytes { try? JSONValue(parsing: $0, source: path) }
    }
    guard let row, row["step"] != nil else {
      throw ReportError.data(path, "holds no evaluations of a run")
    }
    read(row)
  }

  // MARK: Reports

  private mutating func read(_ report: JSONValue) {
    if let loss = report["perplexity"], let nll = loss["nll"]?.double {
      add(
        MeasuredKey(task: "perplexity", metric: "nll"), nll, loss["stderr"]?.double,
        loss["sequences"]?.integer())
      readPositions(loss["positions"])
    }
    guard case .object(let tasks)? = report["tasks"] else { return }
    for task in tasks {
      guard case .object(let members) = task.value, let metric = members.first?.name else {
        continue
      }
      let key = MeasuredKey(task: task.name, metric: metric)
      chances[task.name] = task.value["chance"]?.double
      add(key, task.value)
      readLengths(task.value, key)
      guard case .object(let fields)? = task.value["groups"] else { continue }
      for field in fields {
        guard case .object(let groups) = field.value else { continue }
        for group in groups {
          var own = key
          own.group = "\(field.name)=\(group.name)"
          add(own, group.value)
        }
      }
    }
  }

  private mutating func readPositions(_ bins: JSONValue?) {
    guard case .object(let bins)? = bins else { return }
    for bin in bins {
      guard let end = Int(bin.name), let nll = bin.value["nll"]?.double else { continue }
      let loss = MeasuredValue(
        value: nll, standardError: bin.value["stderr"]?.double, samples: nil)
      positions.append((end, loss))
    }
  }

  private mutating func readLengths(_ task: JSONValue, _ key: MeasuredKey) {
    guard case .object(let lengths)? = task["lengths"] else { return }
    for length in lengths {
      var own = key
      own.length = Int(length.name)
      add(own, length.value)
      guard case .object(let depths)? = length.value["depths"] else { continue }
      for depth in depths {
        own.depth = depth.name
        add(own, depth.value)
      }
    }
  }

  private mutating func add(_ key: MeasuredKey, _ json: JSONValue) {
    guard let value = json[key.metric]?.double else { return }
    add(key, value, json["stderr"]?.double, json["samples"]?.integer())
  }

  private mutating func add(_ key: MeasuredKey, _ value: Double, _ error: Double?, _ samples: Int?)
  {
    values.append((key, MeasuredValue(value: value, standardError: error, samples: samples)))
  }

  // MARK: Logs

  /// Scores that are parts of metrics.
  private static let parts: Set = [
    "chosen", "gold", "tokens", "computed_tokens", "bytes", "words", "cut",
  ]

  private mutating func read(_ header: [JSONMember], _ samples: [SampleLog.Sample]) {
    var order: [MeasuredKey] = []
    var scores: [MeasuredKey: [String: Double]] = [:]
    func take(_ key: MeasuredKey, _ id: String, _ value: Double) {
      if scores[key] == nil { order.append(key) }
      scores[key, default: [:]][id] = value
    }
    for sample in samples {
      for score in sample.record.scores where !Self.parts.contains(score.metric) {
        // The loss of a sequence is a sum.
        let isLoss = sample.measure == "perplexity" && score.metric == "nll"
        let value = isLoss ? score.value / Double(max(sample.length, 1)) : score.value
        let id = "\(sample.length) \(sample.record.id.line)"
        var key = MeasuredKey(task: sample.measure, metric: score.metric)
        take(key, id, value)
        guard sample.length > 0, !isLoss else { continue }
        key.length = sample.length
        take(key, id, value)
        guard let depth = sample.record.depth else { continue }
        key.depth = TaskResult.Length.name(ofBin: TaskResult.Length.bin(of: depth))
        take(key, id, value)
      }
    }
    for key in order {
      // In an order that does not depend on hashing.
      let list = (scores[key] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
      let summary = ScoreSummary(list)
      add(key, summary.mean, summary.standardError, summary.samples)
    }
    log = (header, scores)
  }
}
