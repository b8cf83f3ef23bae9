import Files
import JSON

/// The sections of a `tokenizer.json`, each checked against what is implemented.
struct TokenizerSections {
  private let path: String
  private(set) var vocabulary: [[UInt8]: Int32] = [:]
  private(set) var merges: [(left: [UInt8], right: [UInt8])] = []
  /// The top-level members but the model, and the model's but vocabulary and merges.
  private var members: [String: JSONValue] = [:]
  private var model: [String: JSONValue] = [:]

  init(_ file: MappedFile) throws(TokenDataError) {
    path = file.path
    var sections = (
      vocabulary: vocabulary, merges: merges, members: members, model: model
    )
    try TokenDataError.from { () throws(FileError) in
      var cursor = JSONCursor(file.bytes, source: file.path)
      try cursor.object { (cursor, name) throws(FileError) in
        guard name == "model" else {
          sections.members[name] = try cursor.value()
          return
        }
        try cursor.object { (cursor, name) throws(FileError) in
          switch name {
          case "vocab": sections.vocabulary = try Self.vocabulary(&cursor)
          case "merges": sections.merges = try Self.merges(&cursor)
          default: sections.model[name] = try cursor.value()
          }
        }
      }
      try cursor.expectEnd()
    }
    (vocabulary, merges, members, model) = sections
  }

  private static func vocabulary(
    _ cursor: inout JSONCursor
  ) throws(FileError) -> [[UInt8]: Int32] {
    guard cursor.peek() == UInt8(ascii: "{") else {
      // Not a byte-pair encoding, as the model's type will say.
      _ = try cursor.value()
      return [:]
    }
    var result: [[UInt8]: Int32] = [:]
    try cursor.object { (cursor, token) throws(FileError) in
      let id = try cursor.unsignedInteger()
      guard let id = Int32(exactly: id) else { throw cursor.failure("an id above 2^31") }
      result[Array(token.utf8)] = id
    }
    return result
  }

  private static func merges(
    _ cursor: inout JSONCursor
  ) throws(FileError) -> [(left: [UInt8], right: [UInt8])] {
    var result: [(left: [UInt8], right: [UInt8])] = []
    try cursor.array { (cursor) throws(FileError) in
      var parts: [[UInt8]] = []
      if cursor.peek() == UInt8(ascii: "[") {
        try cursor.array { (cursor) throws(FileError) in
          parts.append(Array(try cursor.string().utf8))
        }
      } else {
        let text = Array(try cursor.string().utf8)
        if text.starts(with: "#version".utf8) { return }
        parts = text.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
      }
      guard parts.count == 2 else { throw cursor.failure("a merge that is not a pair") }
      result.append((parts[0], parts[1]))
    }
    return result
  }

  func unsupported(_ component: String, supported: [String] = []) -> TokenDataError {
    .unsupported(path: path, component: component, supported: supported)
  }

  func invalid(_ field: String, _ reason: String) -> TokenDataError {
    .invalid(path: path, field: field, reason: reason)
  }

  /// A top-level member, nil if it is absent or null.
  func member(_ name: String) -> JSONValue? {
    members[name].flatMap { $0 == .null ? nil : $0 }
  }

  /// The components of a section, those of nested `Sequence`s one by one.
  func components(_ section: String, in list: String) -> [JSONValue] {
    func flattened(_ value: JSONValue) -> [JSONValue] {
      guard value["type"]?.string == "Sequence" else { return [value] }
      return (value[list]?.array ?? []).flatMap(flattened)
    }
    return member(section).map(flattened) ?? []
  }

  // MARK: - Model

  /// What the model says besides its vocabulary and its merges.
  func modelOptions() throws(TokenDataError) -> ModelOptions {
    let type = model["type"]?.string ?? (merges.isEmpty ? "without type" : "BPE")
    guard type == "BPE" else { throw unsupported("model \(type)", supported: ["BPE"]) }
    guard !vocabulary.isEmpty else { throw invalid("model.vocab", "is missing or empty") }
    if let value = model["dropout"], value != .null, value.double != 0 {
      throw unsupported("model.dropout")
    }
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
      guard let value = model[name], value != .null, value.string != "" else { continue }
      throw unsupported("model.\(name)")
    }
    return ModelOptions(
      unknownToken: model["unk_token"]?.string.map { Array($0.utf8) },
      fusesUnknown: model["fuse_unk"]?.bool ?? false,
      fallsBackToBytes: model["byte_fallback"]?.bool ?? false,
      ignoresMerges: model["ignore_merges"]?.bool ?? false)
  }

  // MARK: - Added tokens and template

  /// The added tokens, each checked.
  ///
  /// As in the `tokenizers` library, a token of the vocabulary keeps its id there and the others are
  /// numbered behind it, whatever ids the file gives.
  func addedTokens() throws(TokenDataError) -> [AddedTokens.Token] {
    var result: [AddedTokens.Token] = []
    var next = Int32(vocabulary.count)
    for (i, token) in (member("added_tokens")?.array ?? []).enumerated() {
      guard let written = token["id"]?.integer(as: Int32.self), written >= 0,
        let content = token["content"]?.string, !content.isEmpty
      else {
        throw .invalid(path: path, field: "added_tokens[\(i)]", reason: "needs id and content")
      }
      let known = vocabulary[Array(content.utf8)]
      let id = known ?? next
      if known == nil { next += 1 }
      let isSpecial = token["special"]?.bool ?? false
      result.append(
        AddedTokens.Token(
          id: id, content: Array(content.utf8), isSpecial: isSpecial,
          isNormalized: token["normalized"]?.bool ?? !isSpecial,
          isSingleWord: token["single_word"]?.bool ?? false,
          stripsLeft: token["lstrip"]?.bool ?? false,
          stripsRight: token["rstrip"]?.bool ?? false))
    }
    return result
  }

  /// The ids put before and after a text.
  func template() throws(TokenDataError) -> (prefix: [Int32], suffix: [Int32]) {
    var result: (prefix: [Int32], suffix: [Int32])?
    for processor in components("post_processor", in: "processors") {
      let type = processor["type"]?.string ?? "without type"
      switch type {
      case "ByteLevel": continue
      case _ where result != nil: throw unsupported("post_processor \(type) after another")
      case "TemplateProcessing": result = try template(processor)
      case "RobertaProcessing", "BertProcessing":
        result = ([try pairID(processor, "cls")], [try pairID(processor, "sep")])
      default:
        throw unsupported(
          "post_processor \(type)",
          supported: [
            "BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing",
          ])
      }
    }
    return result ?? ([], [])
  }

  /// The id in a member of the form `["</s>", 2]`.
  private func pairID(
    _ processor: JSONValue, _ name: String
  ) throws(TokenDataError) -> Int32 {
    guard let pair = processor[name]?.array, pair.count == 2,
      let id = pair[1].integer(as: Int32.self), id >= 0
    else { throw invalid("post_processor.\(name)", "is no pair of a token and its id") }
    return id
  }

  private func template(
    _ processor: JSONValue
  ) throws(TokenDataError) -> (prefix: [Int32], suffix: [Int32]) {
    var prefix: [Int32] = []
    var suffix: [Int32] = []
    var afterText = false
    for part in processor["single"]?.array ?? [] {
      if let sequence = part["Sequence"] {
        guard !afterText, sequence["id"]?.string == "A" else {
          throw invalid("post_processor.single", "holds the text more than once, or another one")
        }
        afterText = true
        continue
      }
      let ids = try templateIDs(part["SpecialToken"]?["id"]?.string ?? "", processor)
      if afterText { suffix += ids } else { prefix += ids }
    }
    guard afterText else { throw invalid("post_processor.single", "does not hold the text") }
    return (prefix, suffix)
  }

  /// The ids that a special token of a template stands for.
  private func templateIDs(
    _ name: String, _ processor: JSONValue
  ) throws(TokenDataError) -> [Int32] {
    let ids = processor["special_tokens"]?[name]?["ids"]?.array ?? []
    guard !ids.isEmpty else {
      throw .invalid(
        path: path, field: "post_processor.single",
        reason: "names no known special token: \(name)")
    }
    var result: [Int32] = []
    for id in ids {
      guard let number = id.integer(as: Int32.self), number >= 0 else {
        throw .invalid(
          path: path, field: "post_processor.special_tokens.\(name).ids",
          reason: "expected token ids, found \(String(decoding: id.encoded(), as: UTF8.self))")
      }
      result.append(number)
    }
    return result
  }
}

/// What a model says besides its vocabulary and its merges.
struct ModelOptions: Sendable {
  /// The text of the token for what the vocabulary lacks.
  let unknownToken: [UInt8]?
  let fusesUnknown: Bool
  let fallsBackToBytes: Bool
  /// Whether a piece that is a token is not put together by merges.
  let ignoresMerges: Bool
}
