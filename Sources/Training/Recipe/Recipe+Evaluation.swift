import Evaluation
import Fields

extension Recipe {
  /// What is measured during training.
  public struct Evaluation: Sendable, Equatable, FieldSection {
    /// Mean loss on text.
    public struct Perplexity: Sendable, Equatable {
      /// What is measured.
      public enum Content: Sendable, Equatable {
        /// `tokens`: token files.
        case tokens(StoredTokens)
        /// `text`: documents that the run tokenizes itself.
        case text(StoredText)
      }

      /// Which of the two it is.
      public var content: Content
      /// Tokens predicted in one sequence; default: `data.sequence_length`.
      public var sequenceLength: Int

      private static let lengthKey = FieldKey(
        path: "sequence_length", type: "integer", unit: "tokens", standard: "that of `data`",
        range: ">= 1", meaning: "length of a sample")

      /// All of a text is tokenized before it is measured.
      private static var textKeys: [String] {
        StoredText.keys.filter { $0 != StoredText.firstBlockKey }
      }

      static func described(below path: String) -> [FieldKey] {
        let stored = StoredTokens.fields.flatMap(\.described)
        let text = StoredText.fields.flatMap(\.described).filter {
          !stored.contains($0) && textKeys.contains($0.path)
        }
        return (stored + text + [lengthKey]).map { $0.below(path) }
      }

      /// Reads it; `standard` is the length where none is given.
      init(_ reader: FieldReader, sequenceLength standard: Int) throws(FieldError) {
        let length = Self.lengthKey.path
        switch (reader.value("tokens"), reader.value("text")) {
        case (_, nil):
          try reader.refuse(except: StoredTokens.keys + [length])
          content = .tokens(try reader.read(StoredTokens()))
        case (nil, _):
          try reader.refuse(except: Self.textKeys + [length])
          content = .text(try reader.read(StoredText()))
        default: throw reader.invalid("text", "give either `tokens` (files) or `text` (documents)")
        }
        sequenceLength = try reader.integer(length, default: standard, .atLeast(1))
      }

      var value: FieldValue {
        let stored: [FieldValue.Entry] =
          switch content {
          case .tokens(let stored): stored.entries
          case .text(let stored): stored.entries.filter { Self.textKeys.contains($0.key) }
          }
        let length = FieldValue.Entry(Self.lengthKey.path, .integer(sequenceLength))
        return FieldValue(.mapping(stored + [length]))
      }
    }

    /// Steps between two evaluations; 0 evaluates never; default 1000.
    public var every = 1000
    /// A recall task to score.
    public struct TaskPlan: Sendable, Equatable, FieldSection {
      /// Which task, with its options.
      public var task: Task
      /// Samples to score; default 64.
      public var samples = 64
      /// Tokens of a sample, each of which is measured; default: `data.sequence_length`.
      public var lengths: [Int]
      /// The name in the report; nil (default) is the task's.
      public var name: String?

      package static var fields: [Field<TaskPlan>] {
        [
          .integer(
            "samples", \.samples, .atLeast(1), unit: "samples", standard: "64",
            "samples to score"),
          lengthsField, .reportedName(\.name),
        ]
      }

      private static var lengthsField: Field<TaskPlan> {
        let key = "sequence_length"
        let description = FieldKey(
          path: key, type: "integer or list", unit: "tokens", standard: "`data.sequence_length`",
          range: ">= 1", meaning: "length of a sample; of a list, each is measured")
        return Field(description) { (plan, reader) throws(FieldError) in
          plan.lengths = try reader.integers(key, default: plan.lengths, .atLeast(1), orOne: true)
          guard !plan.lengths.isEmpty, Set(plan.lengths).count == plan.lengths.count else {
            throw reader.invalid(key, "expected different lengths, at least one")
          }
        } write: {
          $0.lengths.count == 1
            ? .integer($0.lengths[0]) : .list($0.lengths.map(FieldValue.integer))
        }
      }

      static var described: [FieldKey] {
        [Task.nameKey] + fields.flatMap(\.described) + Task.furtherKeys
      }

      /// What this measures where the task says nothing itself.
      var defaults: EvaluationTask.Defaults {
        var defaults = EvaluationTask.Defaults(lengths: lengths, samples: samples)
        defaults.name = name
        return defaults
      }

      init(_ value: FieldValue, path: String, sequenceLength: Int) throws(FieldError) {
        var mapping = value
        if case .text = value.kind {
          let name = FieldValue.Entry("task", value, place: value.place)
          mapping = FieldValue(.mapping([name]), place: value.place)
        }
        let reader = try FieldReader(mapping, path: path, keys: nil)
        task = try Task(reader, besides: Self.keys)
        lengths = [sequenceLength]
        try read(reader)
      }

      var value: FieldValue { task.value(with: entries) }
    }

    /// A task in files to score.
    public struct FilePlan: Sendable, Equatable, FieldSection {
      /// Which, and how much of it.
      public var plan = FileTaskPlan()
      /// `byte`, or a directory with `tokenizer.json`; nil (default) is the pretrained model's.
      public var tokenizer: String?

      package static var fields: [Field<FilePlan>] {
        Field.beside(\.plan) + [
          .tokenizer(\.tokenizer, range: "only for tasks on text", "tokenizer of the task")
        ]
      }

      /// Whether an entry of `evaluation.tasks` is a task in files.
      ///
      /// - Throws: about one that is both.
      static func matches(_ value: FieldValue, path: String) throws(FieldError) -> Bool {
        guard case .mapping = value.kind, value["file"] != nil else { return false }
        let reader = try FieldReader(value, path: path, keys: nil)
        guard reader.value("task") == nil else {
          throw reader.invalid("file", "give either `task` (a name) or `file` (a task in files)")
        }
        return true
      }

      init(_ value: FieldValue, path: String) throws(FieldError) {
        try read(FieldReader(value, path: path, keys: Self.keys))
      }
    }

    /// Recall tasks to score, each a name or `{task: name, samples: n, sequence_length: n,
    /// ...options}`; default none.
    public var tasks: [TaskPlan] = []
    /// Tasks in files to score, each `{file: directory, samples: n, as: name, tokenizer: directory}`; default none.
    public var files: [FilePlan] = []
    /// Text to measure the perplexity of; nil (default) measures none.
    public var perplexity: Perplexity?

    /// `data.sequence_length`, the default of lengths.
    private let sequenceLength: Int

    /// The defaults.
    init(sequenceLength: Int) { self.sequenceLength = sequenceLength }

    package static var fields: [Field<Evaluation>] {
      [
        .integer(
          "every", \.every, .atLeast(0), unit: "steps", standard: "1000",
          "steps between evaluations; 0: never"),
        taskList, text,
      ]
    }

    private static var taskList: Field<Evaluation> {
      let description = FieldKey(
        path: "tasks", type: "list", standard: "[]", meaning: "tasks to score, by name or in files")
      return Field(description) { (evaluation, reader) throws(FieldError) in
        for (value, path) in try reader.list("tasks", default: []) {
          if try FilePlan.matches(value, path: path) {
            evaluation.files.append(try FilePlan(value, path: path))
          } else {
            evaluation.tasks.append(
              try TaskPlan(value, path: path, sequenceLength: evaluation.sequenceLength))
          }
        }
      } write: {
        .list($0.tasks.map(\.value) + $0.files.map(\.value))
      }
    }

    private static var text: Field<Evaluation> {
      let key = "perplexity"
      let description = FieldKey(
        path: key, type: "mapping", standard: "none", meaning: "text to measure the loss on")
      return Field(description, inside: Perplexity.described(below: key)) {
        (evaluation, reader) throws(FieldError) in
        guard let inner = try reader.optionalMapping(key) else { return }
        evaluation.perplexity = try Perplexity(
          inner, sequenceLength: evaluation.sequenceLength)
      } write: {
        $0.perplexity?.value
      }
    }
  }
}
