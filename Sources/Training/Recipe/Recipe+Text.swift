import Fields
import TokenData

extension Recipe {
  /// Documents that the run tokenizes itself: which files, and which of their documents.
  public struct StoredText: Sendable, Equatable, FieldSection {
    /// Files, directories and patterns, as `statex data tokenize` takes them; required.
    public var names: [String] = []
    /// What makes the ids: `byte`, a `tokenizer.json` or its directory; nil (default) is the pretrained model's.
    public var tokenizer: String?
    /// Which member of a JSON object is the text (default `text`), and what becomes of bad input (default: it
    /// ends the run).
    public var reading = TextReading()
    /// Tokens that are tokenized before any is trained on, and shuffled among each other; default 4194304.
    public var firstBlock = 1 << 22
    /// The share of documents, chosen by their content, that is not trained on; nil (default) holds none out.
    public var heldOut: Double?

    /// No file yet.
    public init() {}

    package static var fields: [Field<StoredText>] {
      [
        .names(
          "text", \.names,
          range:
            "`.jsonl`, `.ndjson`, `.json` or `.txt` files, also `.zst` or `.gz`, directories, patterns",
          "documents to tokenize"),
        .text(
          "field", \.reading.field, standard: "`text`",
          "the JSON member that is a document of `text`"),
        .choice(
          "bad_input", \.reading.badInput, standard: "`refuse`",
          "documents of `text` that cannot be read: end the run, leave them out, or first replace bad bytes"
        ),
        .integer(
          firstBlockKey, \.firstBlock, .atLeast(1), unit: "tokens", standard: "4194304",
          "how much of `text` is tokenized before training begins"),
        .tokenizer(
          \.tokenizer, range: "only with `text` and `task`",
          "tokenizer of documents, or of a task on text"),
        .split(\.heldOut),
      ]
    }

    /// The documents to train on.
    var training: TokenSelection.Part { heldOut.map { .training(heldOut: $0) } ?? .all }

    /// The documents to measure on: those held out if there are any, else all.
    var measured: TokenSelection.Part { heldOut.map { .heldOut($0) } ?? .all }

    /// The key of `firstBlock`.
    static let firstBlockKey = "first_block"

    /// What they are called where no name is given.
    var standardName: String { Source.standardName(names) }
  }
}

extension Field {
  /// `tokenizer`: `byte`, a `tokenizer.json` or its directory, or the pretrained model's.
  static func tokenizer(
    _ place: WritableKeyPath<Section, String?>, range: String, _ meaning: String
  ) -> Field {
    let key = "tokenizer"
    let description = FieldKey(
      path: key, type: "`byte` or path", standard: "the pretrained model's", range: range,
      meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.optionalText(key)
    } write: {
      $0[keyPath: place].map(FieldValue.text)
    }
  }
}
