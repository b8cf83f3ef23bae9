import Fields
import Foundation
import TokenData

extension Recipe {
  /// What the model reads.
  public struct DataPlan: Sendable, Equatable, FieldSection {
    /// Tokens predicted in one sample; a sample holds one token more; required.
    public var sequenceLength = 0
    /// Whether samples come in a random order that `run.seed` fixes; default true; false takes them
    /// in file order.
    public var shuffle = true
    /// Whether state and convolutions start from zeros at the first token of every document inside a
    /// sample; default false.
    public var resetsStateAtDocuments = false
    /// Whether a document's last token is trained to predict the first token of the next document;
    /// default true, and false with `reset_state_at_documents`.
    public var predictsAcrossDocuments = true
    /// Where samples come from, at least one; required.
    public var sources: [Source] = []

    package static var fields: [Field<DataPlan>] {
      [
        .integer(
          "sequence_length", \.sequenceLength, .atLeast(1), unit: "tokens",
          "tokens predicted in one sample"),
        .flag(
          "shuffle", \.shuffle, standard: "true",
          "random order of stored samples; false: file order"),
        .flag(
          "reset_state_at_documents", \.resetsStateAtDocuments, standard: "false",
          "state and convolutions start from zeros at every document"),
        boundaries, list,
      ]
    }

    private static var boundaries: Field<DataPlan> {
      let key = "predict_across_documents"
      let description = FieldKey(
        path: key, type: "flag", standard: "true; false with `reset_state_at_documents`",
        meaning: "a document's last token is trained to predict the next one's first")
      return Field(description) { (data, reader) throws(FieldError) in
        data.predictsAcrossDocuments = try reader.flag(
          key, default: !data.resetsStateAtDocuments)
      } write: {
        .flag($0.predictsAcrossDocuments)
      }
    }

    private static var list: Field<DataPlan> {
      let description = FieldKey(
        path: "sources", type: "list", standard: "required", range: "at least one",
        meaning: "where samples come from")
      return Field(description) { (data, reader) throws(FieldError) in
        for (value, path) in try reader.list("sources") {
          let source = try FieldReader(value, path: path, keys: nil)
          data.sources.append(try Source(source, besides: data.sources))
        }
        guard !data.sources.isEmpty else {
          throw reader.invalid("sources", "at least one source is needed")
        }
      } write: {
        .list($0.sources.map(\.value))
      }
    }
  }

  /// One source of samples.
  public struct Source: Sendable, Equatable, FieldSection {
    /// Stored tokens, text or a generator.
    public enum Kind: Sendable, Equatable {
      /// `tokens`: token files.
      case tokens(StoredTokens)
      /// `text`: documents that the run tokenizes itself.
      case text(StoredText)
      /// `task`: a recall task that makes its samples.
      case task(Task)
    }

    /// Which of the three it is.
    public var kind: Kind
    /// What it is called in `metrics.jsonl`, unlike every other source; default: the task's name, or the
    /// last component of `tokens` or `text`, with a number where that is taken.
    public var name = ""
    /// Share of the samples, relative to the other sources' weights; above 0; default 1.
    public var weight = 1.0
    /// How often its documents may be trained on, at most; nil (default) sets no limit.
    public var maxEpochs: Double?
    /// What its targets weigh in the loss: `loss` (default `token` for stored tokens, `sample` for tasks)
    /// and `loss_weight`, a factor above 0 (default 1).
    public var loss = SourceLoss()

    package static var fields: [Field<Source>] {
      [
        .text(
          "name", \.name, standard: "the task, or the last component of `tokens` or `text`",
          range: "unlike other sources'",
          "name in `metrics.jsonl`; a default that is taken gets a number"),
        .number(
          "weight", \.weight, .above(0), standard: "1",
          "share of the samples, relative to the other sources"),
        .choice(
          "loss", \.loss.unit, standard: "`token`, but `sample` for `task`",
          "what counts as one in the loss"),
        .number(
          "loss_weight", \.loss.factor, .above(0), standard: "1",
          "factor on the weight of the source's targets in the loss"),
      ]
    }

    private static let maxEpochsKey = FieldKey(
      path: "max_epochs", type: "number", standard: "none", range: "> 0",
      meaning: "refuses to train on stored tokens more often")

    static var described: [FieldKey] {
      let stored = StoredTokens.fields.flatMap(\.described)
      let text = StoredText.fields.flatMap(\.described).filter { !stored.contains($0) }
      return stored + text + [Task.nameKey] + fields.flatMap(\.described)
        + [maxEpochsKey, Task.othersKey]
    }

    /// Reads a source that follows `others` in the list.
    init(_ reader: FieldReader, besides others: [Source]) throws(FieldError) {
      let standardName: String
      let tokens = Task.ownsTokens(reader) ? nil : reader.value("tokens")
      switch (tokens, reader.value("text"), reader.value("task")) {
      case (.some, nil, nil):
        let stored: StoredTokens = try Self.stored(reader)
        (kind, standardName) = (.tokens(stored), stored.standardName)
        maxEpochs = try Self.maxEpochs(reader)
      case (nil, .some, nil):
        guard reader.present("end_of_text") == nil else {
          throw reader.invalid(
            "end_of_text",
            "is for token files without an index: a document of `text` ends with the tokenizer's own id"
          )
        }
        let text: StoredText = try Self.stored(reader)
        (kind, standardName) = (.text(text), text.standardName)
        maxEpochs = try Self.maxEpochs(reader)
      case (nil, nil, .some):
        let task = try Task(reader, besides: Self.keys)
        kind = .task(task)
        standardName = task.name
        loss.unit = .sample
      default:
        throw FieldError(
          place: reader.place, path: reader.path,
          .invalid(
            "a source has either `tokens` (files), `text` (documents) or `task` (a name)"))
      }
      name = Self.unused(standardName, besides: others)
      try read(reader)
      let name = name
      guard !others.contains(where: { $0.name == name }) else {
        throw reader.invalid("name", "`\(name)` is the name of an earlier source too")
      }
    }

    private static func stored<Stored: StoredSection>(
      _ reader: FieldReader
    ) throws(FieldError) -> Stored {
      try reader.refuse(except: Stored.keys + Self.keys + [maxEpochsKey.path])
      var stored = Stored()
      try stored.read(reader)
      return stored
    }

    private static func maxEpochs(_ reader: FieldReader) throws(FieldError) -> Double? {
      guard reader.present(maxEpochsKey.path) != nil else { return nil }
      return try reader.number(maxEpochsKey.path, .above(0))
    }

    /// What files are called where no name is given.
    static func standardName(_ names: [String]) -> String {
      let url = URL(fileURLWithPath: names[0])
      let isPattern = url.lastPathComponent.contains { "*?[".contains($0) }
      return isPattern ? url.deletingLastPathComponent().lastPathComponent : url.lastPathComponent
    }

    /// The name, or the name with the first number from 2 on that no other source has.
    private static func unused(_ name: String, besides others: [Source]) -> String {
      let taken = Set(others.map(\.name))
      let candidates = [name] + (0...others.count).map { "\(name)_\($0 + 2)" }
      return candidates.first { !taken.contains($0) } ?? name
    }

    var value: FieldValue {
      switch kind {
      case .tokens(let stored): value(stored.entries)
      case .text(let stored): value(stored.entries)
      case .task(let task): task.value(with: entries)
      }
    }

    private func value(_ stored: [FieldValue.Entry]) -> FieldValue {
      let limit = maxEpochs.map { [FieldValue.Entry(Self.maxEpochsKey.path, .number($0))] }
      return FieldValue(.mapping(stored + entries + (limit ?? [])))
    }
  }
}

/// What a source of documents names: files, and which of their documents.
protocol StoredSection: FieldSection {
  /// No file yet.
  init()
}

extension Recipe.StoredTokens: StoredSection {}
extension Recipe.StoredText: StoredSection {}
