import JSON
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
    public var options: RecipeValue
    /// Dotted path of the task in the recipe: for error messages, no part of equality.
    public let path: String

    static var nameKey: RecipeKey {
      RecipeKey(
        path: "task", type: "word", standard: "-", range: "see \"Tasks\"",
        meaning: "a task that makes its samples")
    }

    /// Keys of a task's mapping that are its own.
    static var furtherKeys: [RecipeKey] {
      [
        RecipeKey(
          path: "tokenizer", type: "`byte` or path", standard: "the pretrained model's",
          range: "only with `task`", meaning: "tokenizer of a task on text"),
        RecipeKey(
          path: "others", type: "", standard: "", range: "only with `task`",
          meaning: "the task's options"),
      ]
    }

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

extension RecipeValue {
  /// The value in JSON's terms: what `model.config` is to the readers of `config.json`.
  public var jsonValue: JSONValue {
    switch kind {
    case .null: .null
    case .flag(let flag): .bool(flag)
    case .integer(let integer): .integer(integer)
    case .number(.infinity): .number("Infinity")
    case .number(let number): .number("\(number)")
    case .text(let text): .string(text)
    case .list(let elements): .array(elements.map(\.jsonValue))
    case .mapping(let entries):
      .object(entries.map { JSONMember($0.key, $0.value.jsonValue) })
    }
  }

  /// The value as an option of a task, nil for what no option can be.
  fileprivate var taskOption: TaskOption? {
    switch kind {
    case .flag(let flag): return .bool(flag)
    case .integer(let integer): return .int(integer)
    case .number(let number): return .double(number)
    case .text(let text): return .string(text)
    case .list(let elements):
      let options = elements.compactMap(\.taskOption)
      return options.count == elements.count ? .list(options) : nil
    case .null, .mapping: return nil
    }
  }
}

extension Recipe.Task {
  /// The task with its options checked.
  ///
  /// - Returns: what makes the task's samples and questions.
  /// - Throws: `RecipeError` for a name or an option that does not exist or cannot be used.
  public func configuration() throws(RecipeError) -> RecallTaskConfiguration {
    let taskOptions = try self.taskOptions()
    do {
      return try RecallTaskConfiguration(name: name, options: taskOptions)
    } catch {
      throw complaint(about: error)
    }
  }

  /// The task's own options.
  ///
  /// - Throws: `RecipeError` for a value that no option can have.
  func taskOptions() throws(RecipeError) -> [String: TaskOption] {
    var taskOptions: [String: TaskOption] = [:]
    // `tokenizer` says how to read a task on text, not which task it is: `RunData` reads it.
    for entry in optionEntries where entry.key != "tokenizer" {
      guard let option = entry.value.taskOption else {
        throw .wrongType(
          place: entry.place, path: "\(path).\(entry.key)",
          expected: "a number, a text, true, false or a list of them", found: entry.value.summary)
      }
      taskOptions[entry.key] = option
    }
    return taskOptions
  }

  /// The task's complaint with the place of the option it is about.
  private func complaint(about error: RecallTaskError) -> RecipeError {
    switch error {
    case .unknownOption(_, let option, _, _), .invalidOption(_, let option, _):
      .invalidValue(
        place: optionEntries.first { $0.key == option }?.place ?? options.place,
        path: "\(path).\(option)", reason: error.description)
    default:
      .invalidValue(place: options.place, path: "\(path).task", reason: error.description)
    }
  }
}
