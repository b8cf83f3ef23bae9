import Fields

// The options of the tasks on text.

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
      .counts(
        "entries", \.entries, .between(3, nameCount), orFill: true, standard: "20",
        "entries of the book; of a list, one is drawn"),
      .newTokens(\.maximumNewTokens, standard: "50"),
      .questions(\.questions, range: "1 to entries - 2, 256 at most") {
        min(($0.entries.min() ?? 258) - 2, 256)
      },
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

extension EssayNeedlePrompts: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .haystack(\.haystack), .newTokens(\.maximumNewTokens, standard: "128"),
      .questions(\.questions, range: "1 to 40; 10 with four needles a question") {
        $0.kind.mostQuestions
      },
    ]
  }
}

extension NearMissPrompts: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .integer(
        "near", \.near, .between(1, EssayNeedles.depths.count - 1), standard: "8",
        "needles whose keys are nearly the one asked for"),
      .integer(
        "distance", \.distance, .between(1, 3), standard: "1",
        "letters in which their keys differ from it"),
      .haystack(\.haystack), .newTokens(\.maximumNewTokens, standard: "128"),
      .questions(\.questions, range: "1 to near + 1") { $0.near + 1 },
    ]
  }
}

extension TextCopyingPrompts: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .counts(
        "words", \.words, .between(2, 1 << 20), orFill: true, standard: "`fill`",
        "words to copy; of a list, one is drawn"),
      .choice("order", \.order, standard: "`text`", "order of the words"),
      .haystack(\.haystack), .newTokens(\.maximumNewTokens, standard: "answer + 4, >= 8"),
    ]
  }
}

extension ClassificationPrompts: FieldSection {
  package static var fields: [Field<Self>] {
    [
      .counts(
        "demonstrations", \.demonstrations, .between(0, 1 << 16), standard: "16",
        "labelled examples; of a list, one number is drawn"),
      .integer("classes", \.classes, .between(2, labels.count), standard: "2", "labels"),
      .integer(
        "words", \.words, .between(8, 1000), standard: "12", "words that a prompt invents"),
      .integer("length", \.inputLength, .between(1, 64), standard: "3", "words of an input"),
      .newTokens(\.maximumNewTokens, standard: "answer + 4, >= 8"),
      .questions(\.questions, range: "1 to 256") { _ in 256 },
    ]
  }
}

extension Field {
  /// A whole number, or a list of numbers; or, for no number, the word `fill`.
  static func counts(
    _ key: String, _ place: WritableKeyPath<Section, [Int]>, _ range: FieldRange<Int>,
    orFill: Bool = false, standard: String, _ meaning: String
  ) -> Field {
    let description = FieldKey(
      path: key, type: orFill ? "integer, list or `fill`" : "integer or list",
      standard: standard, range: range.shortDescription,
      meaning: meaning + (orFill ? "; `fill`: as many as fit" : ""))
    return Field(description) { (section, reader) throws(FieldError) in
      if orFill, let value = reader.value(key), case .text = value.kind {
        _ = try reader.word(key, of: ["fill"])
        section[keyPath: place] = []
        return
      }
      let numbers = try reader.integers(
        key, default: section[keyPath: place], range, orOne: true)
      guard !numbers.isEmpty || reader.value(key) == nil else {
        throw reader.invalid(key, "at least one number is needed")
      }
      section[keyPath: place] = numbers
    } write: {
      let numbers = $0[keyPath: place]
      return numbers.isEmpty ? .text("fill") : .list(numbers.map(FieldValue.integer))
    }
  }

  /// The user's own text.
  fileprivate static func haystack(_ place: WritableKeyPath<Section, HaystackOption>) -> Field {
    let description = FieldKey(
      path: "haystack", type: "path", standard: "a generated text", range: "plain text in UTF-8",
      meaning: "the long text that prompts are made of")
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place].path = try reader.optionalText("haystack")
    } write: {
      $0[keyPath: place].path.map(FieldValue.text)
    }
  }

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
