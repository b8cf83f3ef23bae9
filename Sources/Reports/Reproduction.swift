import Files
import JSON

/// The results of `make reproduce`: arms of several seeds, summed up (docs/reproduce.md).
struct Reproduction {
  /// A mean over seeds with the standard deviation; nil for one seed.
  struct Mean {
    let mean: Double
    let deviation: Double?

    /// Nil where nothing was measured.
    init?(_ json: JSONValue?) {
      guard let mean = json?["mean"]?.double else { return nil }
      self.mean = mean
      deviation = json?["deviation"]?.double
    }
  }

  /// An arm of a family over its seeds.
  struct Arm {
    let family: String
    let title: String
    let seeds: Int
    /// The whole entry, for numbers that are shown as they are.
    let json: JSONValue

    /// A number of the arm.
    func number(_ name: String) -> Double? { json[name]?.double }

    /// A mean of the arm, `recall.mqar_16` being that of a task.
    func mean(_ path: String) -> Mean? {
      let names = path.split(separator: ".").map(String.init)
      return Mean(names.reduce(json) { $0?[$1] })
    }
  }

  /// An arm of one seed, less LPT of the same seed on the same samples.
  struct Pair {
    let family: String
    let title: String
    let seed: Int
    /// By task: the mean difference, and what holds 95 % of a bootstrap's means.
    let differences: [String: (mean: Double, interval: ClosedRange<Double>)]

    /// Nil for an arm that was not compared.
    init?(_ json: JSONValue) {
      guard let family = json["family"]?.string, let title = json["title"]?.string,
        let seed = json["seed"]?.integer(as: Int.self)
      else { return nil }
      (self.family, self.title, self.seed) = (family, title, seed)
      var differences: [String: (mean: Double, interval: ClosedRange<Double>)] = [:]
      for entry in json["from_lpt"]?.array ?? [] {
        guard let name = entry["name"]?.string, let mean = entry["difference"]?.double,
          let low = entry["low"]?.double, let high = entry["high"]?.double, low <= high
        else { continue }
        differences[name] = (mean, low...high)
      }
      guard !differences.isEmpty else { return nil }
      self.differences = differences
    }
  }

  /// A task as it was measured.
  struct Task {
    let name: String
    /// The kind of task: measurements of one kind differ in pairs or in length.
    let group: String
    let (pairs, length): (Int?, Int?)
    let chance: Double?
  }

  /// The arms in the order of the file.
  let arms: [Arm]
  /// The arms of every seed that were compared with LPT, in the order of the file.
  let pairs: [Pair]
  /// Every task, in the order in which it appears.
  let tasks: [Task]
  /// What the machine was, and how long all took.
  let facts: [(name: String, value: String)]

  private static let format = "statex-reproduce/1"
  private static let fileName = "results.json"

  /// The results at a path: a directory with `results.json`, or the file.
  ///
  /// - Returns: nil where there are none.
  /// - Throws: `FileError`; `ReportError.data` for a file that says it is one and is not.
  static func find(at path: String) throws -> Reproduction? {
    let isDirectory = try FileSystem.kind(of: path) == .directory
    let file = isDirectory ? path + "/" + fileName : path
    guard try FileSystem.exists(file), file.hasSuffix(".json") else { return nil }
    let json = try JSONValue(contentsOf: file)
    guard let format = json["format"]?.string, format.hasPrefix("statex-reproduce/") else {
      return nil
    }
    guard format == Self.format else {
      throw ReportError.data(file, "format: \(format) is not \(Self.format); use a newer statex")
    }
    return try Reproduction(json, file)
  }

  private init(_ json: JSONValue, _ path: String) throws(ReportError) {
    var arms: [Arm] = []
    for (index, arm) in (json["summary"]?.array ?? []).enumerated() {
      guard let family = arm["family"]?.string, let name = arm["arm"]?.string else {
        throw .data(path, "summary.\(index): needs `family` and `arm`")
      }
      arms.append(
        Arm(
          family: family, title: arm["title"]?.string ?? name,
          seeds: arm["seeds"]?.array?.count ?? 0,
          json: arm))
    }
    guard !arms.isEmpty else { throw .data(path, "summary: no arm is done yet") }
    self.arms = arms
    pairs = (json["arms"]?.array ?? []).compactMap(Pair.init)
    var (tasks, names) = ([Task](), Set<String>())
    for entry in (json["arms"]?.array ?? []).flatMap({ $0["recall"]?.array ?? [] }) {
      guard let name = entry["name"]?.string, names.insert(name).inserted else { continue }
      tasks.append(
        Task(
          name: name, group: entry["task"]?.string ?? name, pairs: entry["pairs"]?.integer(),
          length: entry["length"]?.integer(), chance: entry["chance"]?.double))
    }
    self.tasks = tasks
    facts = ["matrix", "version", "processor", "jobs", "wall_seconds"].compactMap { name in
      switch json[name] {
      case .string(let text)?, .number(let text)?: (name, text)
      default: nil
      }
    }
  }
}
