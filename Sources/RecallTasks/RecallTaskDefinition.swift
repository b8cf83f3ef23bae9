import Fields

/// A task as it is registered: its name, the table of its options, and what it makes of them.
struct RecallTaskDefinition: Sendable {
  typealias Decode =
    @Sendable (FieldValue, String, [String]) throws(FieldError) -> RecallTaskConfiguration.Kind

  let name: String
  /// What its options are.
  let keys: [FieldKey]
  /// The option whose list of values is measured value by value, if there is one.
  let measuredOption: String?
  /// Reads the options in a mapping with that path; the last are keys that others read.
  let decode: Decode

  /// Registers a task.
  ///
  /// - Parameters:
  ///   - name: its name in recipes and on command lines.
  ///   - standard: its options' defaults.
  ///   - measuredOption: the option of which an evaluation measures each value of a list by itself.
  ///   - kind: what the options describe.
  init<Options: FieldSection & Sendable>(
    _ name: String, _ standard: Options, each measuredOption: String? = nil,
    _ kind: @escaping @Sendable (Options) -> RecallTaskConfiguration.Kind
  ) {
    self.name = name
    self.measuredOption = measuredOption
    keys = Options.fields.flatMap(\.described)
    decode = { (value, path, others) throws(FieldError) in
      kind(try FieldReader(value, path: path, keys: Options.keys, besides: others).read(standard))
    }
  }

  /// Every task, in the order of the documentation.
  static let all: [RecallTaskDefinition] =
    [
      .init("mqar", MQARTask.Configuration(), each: "pairs") { .mqar($0) },
      .init("markov", MarkovTextTask.Configuration()) { .markov($0) },
      .init("copying", CopyingTask.Configuration(selective: false)) { .copying($0) },
      .init("selective_copying", CopyingTask.Configuration(selective: true)) { .copying($0) },
      .init("string_copying", StringCopyingTask.Configuration()) { .stringCopying($0) },
      .init("passkey", PasskeyPrompts()) { .text($0) },
      .init("phonebook", PhonebookPrompts(), each: "entries") { .text($0) },
      .init("text_copying", TextCopyingPrompts(), each: "words") { .text($0) },
      .init("classification", ClassificationPrompts(), each: "demonstrations") { .text($0) },
    ] + needles

  /// RULER's needle tasks in its order, then our own.
  private static let needles: [RecallTaskDefinition] = [
    ruler(NeedlePrompts.Kind.single1), ruler(EssayNeedlePrompts.Kind.single2),
    ruler(EssayNeedlePrompts.Kind.single3), ruler(EssayNeedlePrompts.Kind.multikey1),
    ruler(NeedlePrompts.Kind.multikey2), ruler(NeedlePrompts.Kind.multikey3),
    ruler(EssayNeedlePrompts.Kind.multivalue), ruler(EssayNeedlePrompts.Kind.multiquery),
    .init("niah_near_miss", NearMissPrompts()) { .text($0) },
  ]

  private static func ruler(_ kind: NeedlePrompts.Kind) -> RecallTaskDefinition {
    .init(kind.rawValue, NeedlePrompts(kind: kind)) { .text($0) }
  }

  private static func ruler(_ kind: EssayNeedlePrompts.Kind) -> RecallTaskDefinition {
    .init(kind.rawValue, EssayNeedlePrompts(kind: kind)) { .text($0) }
  }
}

extension RecallTaskConfiguration {
  /// Every task's name.
  public static let names = RecallTaskDefinition.all.map(\.name)

  /// What the options of every task are, by the task's name.
  public static let options = RecallTaskDefinition.all.map { (name: $0.name, keys: $0.keys) }

  /// The option of a task of which an evaluation measures each value of a list by itself.
  public static func measuredOption(of task: String) -> String? {
    RecallTaskDefinition.all.first { $0.name == task }?.measuredOption
  }

  /// Whether a task has an option.
  public static func has(option: String, task: String) -> Bool {
    options.first { $0.name == task }?.keys.contains { $0.path == option } ?? false
  }
}
