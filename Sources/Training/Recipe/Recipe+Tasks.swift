import Fields
import RecallTasks

extension Recipe {
  /// A task by name with the options that only it understands.
  public struct Task: Sendable, Equatable {
    /// The task's name, for example `mqar`.
    public var name: String
    /// `tokenizer` of a task on text: `byte`, or a directory with `tokenizer.json`; default: the
    /// pretrained model's.
    public var tokenizer: String?
    /// Its options, a mapping; absent ones take the task's defaults.
    public var options: FieldValue
    /// What they say, decoded.
    public let configuration: RecallTaskConfiguration

    static var nameKey: FieldKey {
      FieldKey(
        path: "task", type: "word", standard: "-", range: "see \"Tasks\"",
        meaning: "a task that makes its samples")
    }

    /// Keys of a task's mapping that are its own.
    static var furtherKeys: [FieldKey] {
      [
        FieldKey(
          path: "tokenizer", type: "`byte` or path", standard: "the pretrained model's",
          range: "only with `task`", meaning: "tokenizer of a task on text"),
        othersKey,
      ]
    }

    /// The options that depend on the task.
    static var othersKey: FieldKey {
      FieldKey(
        path: "others", type: "", standard: "", range: "only with `task`",
        meaning: "the task's options")
    }

    /// Whether the key `tokens` of a mapping is an option of its task rather than the name of files.
    static func ownsTokens(_ reader: FieldReader) -> Bool {
      guard case .text(let task)? = reader.value("task")?.kind else { return false }
      return RecallTaskConfiguration.has(option: "tokens", task: task)
    }

    /// Reads a task; `other` are keys of the same mapping that are not its own.
    init(_ reader: FieldReader, besides other: [String]) throws(FieldError) {
      name = try reader.text("task")
      tokenizer = reader.value("tokenizer") == nil ? nil : try reader.text("tokenizer")
      let own = ["task", "tokenizer"] + other
      options = FieldValue(.mapping(reader.remaining(own)), place: reader.place(of: "task"))
      configuration = try RecallTaskConfiguration(
        name: name, decoding: options, path: reader.path, besides: own)
    }

    /// Whether name, tokenizer and options are equal, wherever they stand.
    public static func == (left: Task, right: Task) -> Bool {
      left.name == right.name && left.tokenizer == right.tokenizer
        && left.options == right.options
    }

    /// A mapping of name and tokenizer, some further keys and the options.
    func value(with further: [FieldValue.Entry]) -> FieldValue {
      var entries = [FieldValue.Entry("task", .text(name))]
      if let tokenizer {
        entries.append(FieldValue.Entry("tokenizer", .text(tokenizer)))
      }
      return FieldValue(.mapping(entries + further + options.entries))
    }
  }
}
