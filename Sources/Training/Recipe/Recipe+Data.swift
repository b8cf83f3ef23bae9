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
    /// Where samples come from, at least one; required.
    public var sources: [Source]

    static let keys = ["sequence_length", "shuffle", "reset_state_at_documents", "sources"]

    init(_ reader: RecipeReader) throws(RecipeError) {
      sequenceLength = try reader.integer("sequence_length", .atLeast(1))
      shuffle = try reader.flag("shuffle", default: true)
      resetsStateAtDocuments = try reader.flag("reset_state_at_documents", default: false)
      sources = []
      for (value, path) in try reader.list("sources") {
        sources.append(try Source(RecipeReader(value, path: path, keys: nil)))
      }
      guard !sources.isEmpty else {
        throw reader.invalid("sources", "at least one source is needed")
      }
    }

    var value: RecipeValue {
      .mapping([
        ("sequence_length", .integer(sequenceLength)), ("shuffle", .flag(shuffle)),
        ("reset_state_at_documents", .flag(resetsStateAtDocuments)),
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
    /// Share of the samples, relative to the other sources' weights; above 0; default 1.
    public var weight: Double

    init(_ reader: RecipeReader) throws(RecipeError) {
      switch (reader.value("tokens"), reader.value("task")) {
      case (.some, nil):
        for entry in reader.remaining(["tokens", "weight"]) {
          throw .unknownKey(
            place: entry.place, path: reader.path(of: entry.key),
            suggestion: nearest(to: entry.key, among: ["tokens", "weight"]))
        }
        kind = .tokens(prefix: try reader.text("tokens"))
      case (nil, .some):
        kind = .task(try Task(reader, besides: ["weight"]))
      default:
        throw .invalidValue(
          place: reader.place(of: ""), path: reader.path,
          reason: "a source has either `tokens` (a prefix) or `task` (a name)")
      }
      weight = try reader.number("weight", default: 1, .above(0))
    }

    var value: RecipeValue {
      switch kind {
      case .tokens(let prefix): .mapping([("tokens", .text(prefix)), ("weight", .number(weight))])
      case .task(let task): task.value(with: [RecipeValue.Entry("weight", .number(weight))])
      }
    }
  }

  /// A task by name with the options that only it understands.
  public struct Task: Sendable, Equatable {
    /// The task's name, for example `mqar`.
    public var name: String
    /// `tokenizer` of a task on text: `byte`, or a directory with `tokenizer.json`; default: the
    /// pretrained model's.
    public var tokenizer: String?
    /// Its options, a mapping; absent ones take the task's defaults.
    public var options: RecipeValue
    /// Dotted path of the task in the recipe: for error messages, no part of equality.
    public let path: String

    /// Reads a task; `other` are keys of the same mapping that are not its own.
    init(_ reader: RecipeReader, besides other: [String]) throws(RecipeError) {
      name = try reader.text("task")
      tokenizer = reader.value("tokenizer") == nil ? nil : try reader.text("tokenizer")
      options = RecipeValue(
        .mapping(reader.remaining(["task", "tokenizer"] + other)), place: reader.place(of: "task"))
      path = reader.path
      _ = try configuration()
    }

    /// Whether name, tokenizer and options are equal, wherever they stand.
    public static func == (left: Task, right: Task) -> Bool {
      left.name == right.name && left.tokenizer == right.tokenizer
        && left.options == right.options
    }

    /// The options, in the order in which they were written.
    var optionEntries: [RecipeValue.Entry] {
      if case .mapping(let entries) = options.kind { entries } else { [] }
    }

    /// A mapping of name and tokenizer, some further keys and the options.
    func value(with further: [RecipeValue.Entry]) -> RecipeValue {
      var entries = [RecipeValue.Entry("task", .text(name))]
      if let tokenizer {
        entries.append(RecipeValue.Entry("tokenizer", .text(tokenizer)))
      }
      return RecipeValue(.mapping(entries + further + optionEntries))
    }
  }
}
