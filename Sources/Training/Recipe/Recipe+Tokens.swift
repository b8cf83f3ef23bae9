import Fields
import Foundation
import TokenData

extension Recipe {
  /// Stored tokens: which files, and which of their documents.
  public struct StoredTokens: Sendable, Equatable, FieldSection {
    /// Prefixes of Megatron pairs, `.bin` and `.npy` files, or patterns that stand for several; required.
    public var names: [String] = []
    /// In files without an index, the id after which a document ends; nil (default) makes each one document.
    public var endOfText: Int?
    /// The share of documents, chosen by their content, that is not trained on; nil (default) holds none out.
    public var heldOut: Double?

    /// No file yet.
    public init() {}

    package static var fields: [Field<StoredTokens>] {
      [
        .names(
          "tokens", \.names,
          range: "prefixes of `.bin` and `.idx`, `.bin` or `.npy` files, patterns with `*`",
          "token files"),
        .integer(
          "end_of_text", \.endOfText, .between(0, Int(Int32.max)), standard: "none",
          "id after which a document ends, in files without an index"),
        .split(\.heldOut),
      ]
    }

    /// What they are called where no name is given.
    var standardName: String { Source.standardName(names) }

    /// The documents to train on.
    package var training: TokenSelection {
      selection(heldOut.map { .training(heldOut: $0) } ?? .all)
    }

    /// The documents to measure on: those held out if there are any, else all.
    package var measured: TokenSelection { selection(heldOut.map { .heldOut($0) } ?? .all) }

    private func selection(_ part: TokenSelection.Part) -> TokenSelection {
      TokenSelection(names, endOfText: endOfText.map { Int32($0) }, part: part)
    }
  }
}

extension Field where Section: FieldSection {
  /// One path or several.
  static func names(
    _ key: String, _ place: WritableKeyPath<Section, [String]>, range: String, _ meaning: String
  ) -> Field {
    let description = FieldKey(
      path: key, type: "path or list", standard: "-", range: range, meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      if case .list = try reader.required(key).kind {
        section[keyPath: place] = try reader.texts(key)
        guard !section[keyPath: place].isEmpty else {
          throw reader.invalid(key, "names no file")
        }
      } else {
        section[keyPath: place] = [try reader.text(key)]
      }
    } write: {
      let names = $0[keyPath: place]
      return names.count == 1 ? .text(names[0]) : .list(names.map { .text($0) })
    }
  }

  /// `split: {held_out: f}`, the share of documents that is not trained on.
  static func split(_ place: WritableKeyPath<Section, Double?>) -> Field {
    let key = "split"
    let held = FieldKey(
      path: key + ".held_out", type: "number", standard: "required with `split`",
      range: "> 0, < 1", meaning: "share of documents, chosen by their content")
    let description = FieldKey(
      path: key, type: "mapping", standard: "none",
      meaning: "documents not to train on; for `evaluation.perplexity`, to measure alone")
    return Field(description, inside: [held]) { (section, reader) throws(FieldError) in
      guard let inner = try reader.optionalMapping(key) else { return }
      try inner.refuse(except: ["held_out"])
      let share = try inner.number("held_out", .above(0))
      guard share < 1 else { throw inner.invalid("held_out", "must be below 1, found \(share)") }
      section[keyPath: place] = share
    } write: {
      $0[keyPath: place].map { FieldValue(.mapping([.init("held_out", .number($0))])) }
    }
  }

  /// The fields of a section that has no mapping of its own: its keys stand beside the others.
  static func beside<Child: FieldSection>(_ place: WritableKeyPath<Section, Child>) -> [Field] {
    Child.fields.map { child in
      Field(child.described[0], inside: Array(child.described.dropFirst())) {
        (section, reader) throws(FieldError) in
        try child.read(&section[keyPath: place], reader)
      } write: {
        child.write($0[keyPath: place])
      }
    }
  }
}
