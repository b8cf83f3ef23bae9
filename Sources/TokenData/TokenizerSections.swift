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
    guard !vocabulary.isEmpty else {
      throw .invalid(path: path, field: "model.vocab", reason: "is missing or empty")
    }
  }

  private static func vocabulary(
    _ cursor: inout JSONCursor
  ) throws(FileError) -> [[UInt8]: Int32] {
    guard cursor.peek() == UInt8(ascii: "{") else {
      throw cursor.failure("model.vocab is not an object: only BPE models are supported")
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
        parts = text.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
      }
      guard parts.count == 2 else { throw cursor.failure("a merge that is not a pair") }
      result.append((parts[0], parts[1]))
    }
    return result
  }

  private func unsupported(_ component: String) -> TokenDataError {
    .unsupported(path: path, component: component)
  }

  /// A top-level member, nil if it is absent or null.
  private func member(_ name: String) -> JSONValue? {
    members[name].flatMap { $0 == .null ? nil : $0 }
  }

  /// The components of a section: those of a `Sequence`, or the section itself.
  private func components(_ section: String, in list: String) -> [JSONValue] {
    guard let value = member(section) else { return [] }
    return value["type"]?.string == "Sequence" ? value[list]?.array ?? [] : [value]
  }

  // MARK: - Kind

  /// Decides the kind from the model, the normaliser, the pre-tokenizer and the decoder.
  func kind() throws(TokenDataError) -> TokenizerDefinition.Kind {
    try checkModel()
    let normalizers = components("normalizer", in: "normalizers")
    let splitters = components("pre_tokenizer", in: "pretokenizers")
    for splitter in splitters {
      let type = splitter["type"]?.string ?? "without type"
      guard type == "ByteLevel" || type == "Metaspace" else {
        throw unsupported("pre_tokenizer \(type)")
      }
    }
    guard splitters.count <= 1 else { throw unsupported("pre_tokenizer of several parts") }
    let falls = model["byte_fallback"]?.bool ?? false
    if let splitter = splitters.first, splitter["type"]?.string == "ByteLevel" {
      if falls { throw unsupported("model.byte_fallback with pre_tokenizer ByteLevel") }
      return try byteLevel(normalizers, splitter)
    }
    guard falls else { throw unsupported("model.byte_fallback false without ByteLevel") }
    return .sentencePiece(try spaces(normalizers, splitters.first))
  }

  private func checkModel() throws(TokenDataError) {
    let type = model["type"]?.string ?? "BPE"
    guard type == "BPE" else { throw unsupported("model \(type)") }
    for name in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
      guard let value = model[name], value != .null, value.string != "" else { continue }
      throw unsupported("model.\(name)")
    }
    if model["ignore_merges"]?.bool == true { throw unsupported("model.ignore_merges true") }
  }

  private func byteLevel(
    _ normalizers: [JSONValue], _ splitter: JSONValue
  ) throws(TokenDataError) -> TokenizerDefinition.Kind {
    if splitter["add_prefix_space"]?.bool == true {
      throw unsupported("pre_tokenizer ByteLevel with add_prefix_space true")
    }
    if splitter["use_regex"]?.bool == false {
      throw unsupported("pre_tokenizer ByteLevel with use_regex false")
    }
    for normalizer in normalizers {
      let type = normalizer["type"]?.string ?? "without type"
      if type != "NFC" { throw unsupported("normalizer \(type)") }
    }
    for decoder in components("decoder", in: "decoders") {
      let type = decoder["type"]?.string ?? "without type"
      if type != "ByteLevel" { throw unsupported("decoder \(type)") }
    }
    return .byteLevel(formC: !normalizers.isEmpty)
  }

  private func spaces(
    _ normalizers: [JSONValue], _ metaspace: JSONValue?
  ) throws(TokenDataError) -> SentencePieceSpaces {
    var spaces = SentencePieceSpaces(
      prepend: .never, splitsAtEveryMarker: false, splitsBeforeWords: false,
      stripsOnDecoding: false)
    let marker = String(decoding: SentencePieceSpaces.marker, as: UTF8.self)
    var replaces = false
    for normalizer in normalizers {
      switch normalizer["type"]?.string {
      case "Prepend" where normalizer["prepend"]?.string == marker && !replaces:
        spaces.prepend = .always
      case "Replace"
      where normalizer["pattern"]?["String"]?.string == " "
        && normalizer["content"]?.string == marker:
        replaces = true
      case let type: throw unsupported("normalizer \(type ?? "without type") with these settings")
      }
    }
    if let metaspace {
      guard metaspace["replacement"]?.string == marker, spaces.prepend == .never else {
        throw unsupported("pre_tokenizer Metaspace with these settings")
      }
      spaces.prepend = try metaspacePrepend(metaspace)
      spaces.splitsAtEveryMarker = metaspace["split"]?.bool ?? true
    } else if !replaces {
      throw unsupported("model.byte_fallback without normalizer Replace or pre_tokenizer Metaspace")
    }
    for decoder in components("decoder", in: "decoders") {
      switch decoder["type"]?.string {
      case "Replace", "ByteFallback", "Fuse": break
      case "Metaspace": spaces.stripsOnDecoding = spaces.prepend != .never
      case "Strip": spaces.stripsOnDecoding = decoder["start"]?.integer() == 1
      case let type: throw unsupported("decoder \(type ?? "without type")")
      }
    }
    return spaces
  }

  private func metaspacePrepend(
    _ metaspace: JSONValue
  ) throws(TokenDataError) -> SentencePieceSpaces.Prepend {
    switch metaspace["prepend_scheme"]?.string {
    case "always": return .unlessPresent
    case "first": return .firstUnlessPresent
    case "never": return .never
    case nil: return metaspace["add_prefix_space"]?.bool ?? true ? .unlessPresent : .never
    case let scheme?: throw unsupported("pre_tokenizer Metaspace with prepend_scheme \(scheme)")
    }
  }

  // MARK: - Added tokens and template

  /// The added tokens, each checked.
  func addedTokens() throws(TokenDataError) -> [AddedTokens.Token] {
    var result: [AddedTokens.Token] = []
    for (i, token) in (member("added_tokens")?.array ?? []).enumerated() {
      guard let id = token["id"]?.integer(as: Int32.self), id >= 0,
        let content = token["content"]?.string, !content.isEmpty
      else {
        throw .invalid(path: path, field: "added_tokens[\(i)]", reason: "needs id and content")
      }
      for option in ["lstrip", "rstrip", "single_word"] where token[option]?.bool == true {
        throw unsupported("added_tokens[\(i)] with \(option) true")
      }
      let isSpecial = token["special"]?.bool ?? false
      result.append(
        AddedTokens.Token(
          id: id, content: Array(content.utf8), isSpecial: isSpecial,
          isNormalized: token["normalized"]?.bool ?? !isSpecial))
    }
    return result
  }

  /// The ids put before and after a text.
  func template() throws(TokenDataError) -> (prefix: [Int32], suffix: [Int32]) {
    var result: (prefix: [Int32], suffix: [Int32]) = ([], [])
    for processor in components("post_processor", in: "processors") {
      switch processor["type"]?.string {
      case "ByteLevel": break
      case "TemplateProcessing": result = try template(processor)
      case let type: throw unsupported("post_processor \(type ?? "without type")")
      }
    }
    return result
  }

  private func template(
    _ processor: JSONValue
  ) throws(TokenDataError) -> (prefix: [Int32], suffix: [Int32]) {
    var prefix: [Int32] = []
    var suffix: [Int32] = []
    var afterText = false
    for part in processor["single"]?.array ?? [] {
      if part["Sequence"] != nil {
        afterText = true
        continue
      }
      let ids = try templateIDs(part["SpecialToken"]?["id"]?.string ?? "", processor)
      if afterText { suffix += ids } else { prefix += ids }
    }
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
