import Fields

/// A task as it is registered: its name, the table of its options, and what it makes of them.
struct RecallTaskDefinition: Sendable {
  typealias Decode =
    @Sendable (FieldValue, String, [String]) throws(FieldError) -> RecallTaskConfiguration.Kind

  let name: String
  /// What its options are.
  let keys: [FieldKey]
  /// Reads the options in a mapping with that path; the last are keys that others read.
  let decode: Decode

  /// Registers a task.
  ///
  /// - Parameters:
  ///   - name: its name in recipes and on command lines.
  ///   - standard: its options' defaults.
  ///   - kind: what the options describe.
  init<Options: FieldSection & Sendable>(
    _ name: String, _ standard: Options,
    _ kind: @escaping @Sendable (Options) -> RecallTaskConfiguration.Kind
  ) {
    self.name = name
    keys = Options.fields.flatMap(\.described)
    decode = { (value, path, others) throws(FieldError) in
      kind(try FieldReader(value, path: path, keys: Options.keys, besides: others).read(standard))
    }
  }

  /// Every task, in the order of the documentation.
  static let all: [RecallTaskDefinition] =
    [
      .init("mqar", MQARTask.Configuration()) { .mqar($0) },
      .init("markov", MarkovTextTask.Configuration()) { .markov($0) },
      .init("copying", CopyingTask.Configuration(selective: false)) { .copying($0) },
      .init("selective_copying", CopyingTask.Configuration(selective: true)) { .copying($0) },
      .init("passkey", PasskeyPrompts()) { .text($0) },
      .init("phonebook", PhonebookPrompts()) { .text($0) },
    ]
    + NeedlePrompts.Kind.allCases.map { .init($0.rawValue, NeedlePrompts(kind: $0)) { .text($0) } }
}

extension RecallTaskConfiguration {
  /// Every task's name.
  public static let names = RecallTaskDefinition.all.map(\.name)

  /// What the options of every task are, by the task's name.
  public static let options = RecallTaskDefinition.all.map { (name: $0.name, keys: $0.keys) }
}

// MARK: The tables

extension MQARTask.Configuration: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .integer(
        "vocab", \.vocabulary, .between(4, largestVocabulary), standard: "8192",
        "ids are below this number"),
      pairsField,
      .choice("layout", \.layout, standard: "`zoology`", "arrangement of pairs and queries"),
      .integer(
        "keys", \.keys, .between(1, largestVocabulary), standard: "vocab / 2 - 1",
        also: ", >= pairs", "key ids are 1 to `keys`"),
      .integer(
        "values", \.values, .between(1, largestVocabulary), standard: "the rest",
        also: ", keys + values < vocab", "ids after the keys; `zoology`: >= pairs"),
      .number(
        "power_a", \.powerA, .above(0), standard: "0.01",
        "exponent of the query slots; `zoology` only"),
      .flag(
        "random_non_queries", \.randomNonQueries, standard: "true",
        "blanks become random ids; `zoology` only"),
    ]
  }

  private static var pairsField: Field<Self> {
    let description = FieldKey(
      path: "pairs", type: "integer or list", standard: "4", range: ">= 1",
      meaning: "pairs of a sample; of a list, one is drawn")
    return Field(description) { (configuration, reader) throws(FieldError) in
      configuration.pairs = try reader.integers(
        "pairs", default: configuration.pairs, .atLeast(1), orOne: true)
      guard !configuration.pairs.isEmpty else {
        throw reader.invalid("pairs", "at least one number is needed")
      }
    } write: {
      .list($0.pairs.map(FieldValue.integer))
    }
  }
}

extension MarkovTextTask.Configuration: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .integer(
        "symbols", \.symbols, .between(2, 4096), standard: "16", "number of symbols"),
      .integer(
        "first_id", \.firstID, .between(0, largestVocabulary), standard: "1",
        "id of the first symbol"),
      .integer(
        "bos", \.beginning, .between(0, largestVocabulary), standard: "0",
        "id that begins a row"),
      tableSeedField,
    ]
  }

  private static var tableSeedField: Field<Self> {
    let description = FieldKey(
      path: "table_seed", type: "integer", standard: "`run.seed`",
      meaning: "seed of the transition table")
    return Field(description) { (configuration, reader) throws(FieldError) in
      guard reader.value("table_seed") != nil else { return }
      let seed = try reader.integer("table_seed", .any, atMost: .max)
      configuration.tableSeed = UInt64(bitPattern: Int64(seed))
    } write: {
      $0.tableSeed.map { .integer(Int(Int64(bitPattern: $0))) }
    }
  }
}

extension CopyingTask.Configuration: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .integer(
        "vocab", \.vocabulary, .between(3, largestVocabulary), standard: "16",
        "ids, the two special ones included"),
      .integer(
        "tokens", \.tokens, .atLeast(1), standard: "16", also: ", at most (length - 1) / 2",
        "tokens to copy"),
    ]
  }
}

extension PasskeyPrompts: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .choice("fill", \.fill, standard: "`exact`", "how the prompt is filled"),
      .newTokens(\.maximumNewTokens, standard: "answer + 4, >= 8"),
      .questions(\.questions, range: "1 to 256; 1 with `stuffed-mamba`") {
        $0.fill == .exact ? 256 : 1
      },
    ]
  }
}

extension PhonebookPrompts: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .integer(
        "entries", \.entries, .between(3, nameCount), standard: "20", "entries of the book"),
      .newTokens(\.maximumNewTokens, standard: "50"),
      .questions(\.questions, range: "1 to entries - 2") { $0.entries - 2 },
    ]
  }
}

extension NeedlePrompts: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .newTokens(\.maximumNewTokens, standard: "128"),
      .questions(\.questions, range: "1 to 256") { _ in 256 },
    ]
  }
}

extension Field {
  /// Tokens to generate after a prompt.
  fileprivate static func newTokens(
    _ place: WritableKeyPath<Section, Int?>, standard: String
  ) -> Field {
    .integer(
      "max_new_tokens", place, .between(1, 1 << 20), standard: standard, "tokens to generate")
  }

  /// Questions of a row to train on; how many there may be depends on the other options.
  fileprivate static func questions(
    _ place: WritableKeyPath<Section, Int>, range: String, most: @escaping (Section) -> Int
  ) -> Field {
    let description = FieldKey(
      path: "questions", type: "integer", standard: "1", range: range,
      meaning: "questions of a row to train on")
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.integer(
        "questions", default: section[keyPath: place], .between(1, most(section)))
    } write: {
      .integer($0[keyPath: place])
    }
  }
}
