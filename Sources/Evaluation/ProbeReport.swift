import Files
import JSON
import LanguageModels
import RecallTasks

/// What a probe found.
public struct ProbeReport: Sendable, Equatable {
  /// What was run, and how the intact model does.
  public struct Subject: Sendable, Equatable {
    /// The name.
    public let name: String
    /// Whether it measures recall.
    public let isRecall: Bool
    /// Tokens of a sample.
    public let sequenceLength: Int
    /// Share of the positions that count whose token is the most likely one, mean over samples.
    public let accuracy: ScoreSummary
    /// Nats a position that counts.
    public let loss: ScoreSummary

    init(_ subject: MemoryProbe.Subject, _ intact: [SampleRecord]) {
      name = subject.name
      isRecall = subject.isRecall
      sequenceLength = subject.source.sequenceLength
      accuracy = ScoreSummary(intact.compactMap { $0.score(TaskResult.accuracy) })
      loss = ScoreSummary(intact.compactMap { $0.score("nll") })
    }
  }

  /// One head's state at the end of samples.
  public struct Head: Sendable, Equatable {
    /// Its effective rank.
    public let effectiveRank: ScoreSummary
    /// Its share of the energy in its layer's state.
    public let energyShare: ScoreSummary
  }

  /// What is lost when a layer forgets, or keeps half the rank, every so many tokens; differences of the same samples.
  public struct Cut: Sendable, Equatable {
    /// The subject.
    public let name: String
    /// Tokens.
    public let window: Int
    /// What each head's state was held to; 0 where it was set to zeros.
    public let rank: Int
    /// Accuracy of the intact model less that with the cut.
    public let accuracyLost: ScoreSummary
    /// Nats with the cut less those of the intact model.
    public let lossGained: ScoreSummary

    init(
      _ name: String, window: Int, rank: Int, intact: [SampleRecord], cut: [SampleRecord]
    ) {
      func differences(_ metric: String) -> [Double] {
        zip(intact, cut).compactMap { before, after in
          before.score(metric).flatMap { value in after.score(metric).map { value - $0 } }
        }
      }
      (self.name, self.window, self.rank) = (name, window, rank)
      accuracyLost = ScoreSummary(differences(TaskResult.accuracy))
      lossGained = ScoreSummary(differences("nll").map { -$0 })
    }
  }

  /// One layer.
  public struct Layer: Sendable, Equatable {
    /// The state's shape for people.
    public let stateShape: String
    /// The largest rank that a head's state can have.
    public let largestRank: Int
    /// The heads' states, by subject.
    public var states: [[Head]] = []
    /// By subject, then by window, then by rank: 0 before half.
    public var cuts: [Cut] = []

    /// Half of `largestRank`, rounded up.
    public var halfRank: Int { (largestRank + 1) / 2 }
  }

  /// Tokens after which layers forgot.
  public let windows: [Int]
  /// What was run.
  public var subjects: [Subject] = []
  /// The layers, first to last.
  public var layers: [Layer]

  init(layers: [LayerConfiguration], windows: [Int]) {
    self.windows = windows
    self.layers = layers.map { layer in
      let shape = layer.stateMatrices
      return Layer(stateShape: layer.stateShape, largestRank: min(shape.rows, shape.columns))
    }
  }

  /// Names of a head's numbers in a sample's record.
  static func metrics(layer: Int, head: Int) -> (rank: String, energy: String) {
    ("rank \(layer) \(head)", "energy \(layer) \(head)")
  }

  /// A layer's heads by what samples' records say.
  static func heads(_ count: Int, layer: Int, _ records: [SampleRecord]) -> [Head] {
    let names = (0..<count).map { metrics(layer: layer, head: $0) }
    let energies = records.map { record in names.map { record.score($0.energy) ?? 0 } }
    let totals = energies.map { $0.reduce(0, +) }
    return names.indices.map { head in
      let ranks = records.compactMap { $0.score(names[head].rank) }
      let shares = zip(energies, totals).map { $1 > 0 ? $0[head] / $1 : 0 }
      return Head(effectiveRank: ScoreSummary(ranks), energyShare: ScoreSummary(shares))
    }
  }
}

// MARK: Which layers to expand

extension ProbeReport {
  /// What more state may be worth to a layer: the mean over the recall subjects of the nats gained when it keeps half
  /// its rank with the first window, then of those gained when it forgets; over all subjects where none measures
  /// recall.
  ///
  /// What could not be measured is left out; a worth of which nothing was is 0.
  public func worth(ofLayer index: Int) -> (size: Double, memory: Double) {
    let recall = subjects.filter(\.isRecall)
    let names = Set((recall.isEmpty ? subjects : recall).map(\.name))
    let cuts = layers[index].cuts.filter { names.contains($0.name) && $0.window == windows[0] }
    func mean(_ cuts: [Cut]) -> Double {
      let known = cuts.map(\.lossGained.mean).filter(\.isFinite)
      return known.isEmpty ? 0 : known.reduce(0, +) / Double(known.count)
    }
    return (mean(cuts.filter { $0.rank > 0 }), mean(cuts.filter { $0.rank == 0 }))
  }

  /// Layers by `worth`, most first; the earlier of equals first.
  public var order: [Int] {
    let worths = layers.indices.map { worth(ofLayer: $0) }
    return layers.indices.sorted { a, b in
      (worths[b].size, worths[b].memory, a) < (worths[a].size, worths[a].memory, b)
    }
  }

  /// The first `count` layers of `order`, first to last: a value for `expansion.layers`.
  public func recommended(_ count: Int) -> [Int] { order.prefix(count).sorted() }
}

// MARK: JSON

extension ProbeReport {
  /// What a report in a file calls itself.
  public static let format = "statex-probe/1"

  /// The layers' order in a report that `json(choosing:)` wrote to a file.
  ///
  /// - Parameter path: the file.
  /// - Returns: numbers of all layers, the one that is worth most first.
  /// - Throws: `FileError` when it cannot be read or is no such report.
  public static func order(ofReport path: String) throws(FileError) -> [Int] {
    let json = try JSONValue(contentsOf: path)
    let order = (json["order"]?.array ?? []).compactMap { $0.integer(as: Int.self) }
    guard json["format"]?.string == format, !order.isEmpty, order.sorted() == Array(order.indices)
    else {
      throw .invalid(path: path, field: "order", reason: "not a report of `statex probe --json`")
    }
    return order
  }

  /// The report as docs/evaluation.md describes it; a number that could not be measured is `null`.
  ///
  /// - Parameter chosen: how many layers are recommended.
  /// - Returns: an object.
  public func json(choosing chosen: Int) -> JSONValue {
    .object([
      JSONMember("format", .string(Self.format)),
      JSONMember("windows", .array(windows.map { .integer($0) })),
      JSONMember("intact", .array(subjects.map(Self.json))),
      JSONMember(
        "layers", .array(layers.indices.map { Self.json($0, layers[$0], subjects.map(\.name)) })),
      JSONMember("order", .array(order.map { .integer($0) })),
      JSONMember("recommended", .array(recommended(chosen).map { .integer($0) })),
    ])
  }

  private static func json(_ subject: Subject) -> JSONValue {
    .object([
      JSONMember("name", .string(subject.name)), JSONMember("recall", .bool(subject.isRecall)),
      JSONMember("length", .integer(subject.sequenceLength)),
      JSONMember("samples", .integer(subject.accuracy.samples)),
      JSONMember("accuracy", json(subject.accuracy)), JSONMember("nll", json(subject.loss)),
    ])
  }

  private static func json(_ index: Int, _ layer: Layer, _ names: [String]) -> JSONValue {
    let states = zip(names, layer.states).map { name, heads in
      JSONMember(
        name,
        .array(
          heads.map {
            .object([
              JSONMember("effective_rank", json($0.effectiveRank)),
              JSONMember("energy_share", json($0.energyShare)),
            ])
          }))
    }
    let cuts = layer.cuts.map { cut in
      JSONValue.object([
        JSONMember("name", .string(cut.name)), JSONMember("window", .integer(cut.window)),
        JSONMember("rank", .integer(cut.rank)), JSONMember("accuracy_lost", json(cut.accuracyLost)),
        JSONMember("nll_gained", json(cut.lossGained)),
      ])
    }
    return .object([
      JSONMember("layer", .integer(index)), JSONMember("state_shape", .string(layer.stateShape)),
      JSONMember("largest_rank", .integer(layer.largestRank)),
      JSONMember("states", .object(states)), JSONMember("cuts", .array(cuts)),
    ])
  }

  private static func json(_ summary: ScoreSummary) -> JSONValue {
    .object([
      JSONMember("mean", JSONValue(summary.mean)),
      JSONMember("stderr", JSONValue(summary.standardError)),
    ])
  }
}
