import Foundation
import TokenData

extension Recipe {
  /// What the model reads.
  public struct DataPlan: Sendable, Equatable {
    /// Tokens predicted in one sample; a sample holds one token more; required.
    public var sequenceLength: Int
    /// Whether samples come in a random order that `run.seed` fixes; default true; false takes them
    /// in file order.
    public var shuffle: Bool
    /// Whether state and convolutions start from zeros at the first token of every document inside a
    /// sample; default false.
    public var resetsStateAtDocuments: Bool
    /// Whether a document's last token is trained to predict the first token of the next document;
    /// default true, and false with `reset_state_at_documents`.
    public var predictsAcrossDocuments: Bool
    /// Where samples come from, at least one; required.
    public var sources: [Source]

    static let keys = [
      "sequence_length", "shuffle", "reset_state_at_documents", "predict_across_documents",
      "sources",
    ]

    init(_ reader: RecipeReader) throws(RecipeError) {
      sequenceLength = try reader.integer("sequence_length", .atLeast(1))
      shuffle = try reader.flag("shuffle", default: true)
      resetsStateAtDocuments = try reader.flag("reset_state_at_documents", default: false)
      predictsAcrossDocuments = try reader.flag(
        "predict_across_documents", default: !resetsStateAtDocuments)
      sources = []
      for (value, path) in try reader.list("sources") {
        let section = try RecipeReader(value, path: path, keys: nil)
        sources.append(try Source(section, besides: sources))
      }
      guard !sources.isEmpty else {
        throw reader.invalid("sources", "at least one source is needed")
      }
    }

    var value: RecipeValue {
      .mapping([
        ("sequence_length", .integer(sequenceLength)), ("shuffle", .flag(shuffle)),
        ("reset_state_at_documents", .flag(resetsStateAtDocuments)),
        ("predict_across_documents", .flag(predictsAcrossDocuments)),
        ("sources", .list(sources.map(\.value))),
      ])
    }
  }

  /// One source of samples.
  public struct Source: Sendable, Equatable {
    /// Stored text or a generator.
    public enum Kind: Sendable, Equatable {
      /// `tokens`: the prefix of a Megatron pair `prefix.bin` and `prefix.idx`.
      case tokens(prefix: String)
      /// `task`: a recall task that makes its samples.
      case task(Task)
    }

    /// Which of the two it is.
    public var kind: Kind
    /// What it is called in `metrics.jsonl`, unlike every other source; default: the task's name, or the
    /// last component of `tokens`, with a number where that is taken.
    public var name: String
    /// Share of the samples, relative to the other sources' weights; above 0; default 1.
    public var weight: Double
    /// What its targets weigh in the loss: `loss` (default `token` for stored tokens, `sample` for tasks)
    /// and `loss_weight`, a factor above 0 (default 1).
    public var loss: SourceLoss

    /// Keys that every source may have.
    private static let sharedKeys = ["name", "weight", "loss", "loss_weight"]

    /// Reads a source that follows `others` in the list.
    init(_ reader: RecipeReader, besides others: [Source]) throws(RecipeError) {
      let standardName: String
      switch (reader.value("tokens"), reader.value("task")) {
      case (.some, nil):
        let keys = ["tokens"] + Self.sharedKeys
        for entry in reader.remaining(keys) {
          throw .unknownKey(
            place: entry.place, path: reader.path(of: entry.key),
            suggestion: nearest(to: entry.key, among: keys))
        }
        let prefix = try reader.text("tokens")
        kind = .tokens(prefix: prefix)
        standardName = URL(fileURLWithPath: prefix).lastPathComponent
      case (nil, .some):
        let task = try Task(reader, besides: Self.sharedKeys)
        kind = .task(task)
        standardName = task.name
      default:
        throw .invalidValue(
          place: reader.place(of: ""), path: reader.path,
          reason: "a source has either `tokens` (a prefix) or `task` (a name)")
      }
      let name = try reader.text("name", default: Self.unused(standardName, besides: others))
      self.name = name
      guard !others.contains(where: { $0.name == name }) else {
        throw reader.invalid("name", "`\(name)` is the name of an earlier source too")
      }
      weight = try reader.number("weight", default: 1, .above(0))
      let unit: SourceLoss.Unit = if case .task = kind { .sample } else { .token }
      loss = SourceLoss(
        try reader.choice("loss", default: unit),
        factor: try reader.number("loss_weight", default: 1, .above(0)))
    }

    /// The name, or the name with the first number from 2 on that no other source has.
    private static func unused(_ name: String, besides others: [Source]) -> String {
      let taken = Set(others.map(\.name))
      let candidates = [name] + (0...others.count).map { "\(name)_\($0 + 2)" }
      return candidates.first { !taken.contains($0) } ?? name
    }

    var value: RecipeValue {
      let shared: [RecipeValue.Entry] = [
        .init("name", .text(name)), .init("weight", .number(weight)),
        .init("loss", .text(loss.unit.rawValue)), .init("loss_weight", .number(loss.factor)),
      ]
      switch kind {
      case .tokens(let prefix):
        return RecipeValue(.mapping([.init("tokens", .text(prefix))] + shared))
      case .task(let task): return task.value(with: shared)
      }
    }
  }
}
