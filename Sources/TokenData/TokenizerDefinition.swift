import Compression
import Files
import Foundation
import JSON

/// A tokenizer as its files define it, checked and in the form that encoding needs.
struct TokenizerDefinition: Sendable {
  /// The name of the file's directory.
  let name: String
  /// The XXH64 of the file, in hexadecimal.
  let contentHash: String

  private(set) var normalizer: TextNormalizer
  private(set) var preTokenizer: PreTokenizer
  private(set) var decoder: TokenDecoder
  private(set) var symbols = SymbolTable(bytes: [], unknown: SymbolTable.Unknown())
  private(set) var merges = PairTable(capacity: 0)
  /// The pairs of symbols that some merge joins.
  private(set) var joints = PairTable(capacity: 0)
  /// Where pieces of text can be cut further, if they can.
  private(set) var wordCuts: WordCuts?
  /// The pieces that are tokens whatever the merges say.
  private(set) var wholePieces: [[UInt8]: Int32] = [:]
  /// The text of each id as decoders get it; nil for ids that do not exist.
  private(set) var tokenTexts: [[UInt8]?] = []
  /// Ids that decoding leaves out.
  private(set) var skippedTokens: Set<Int32> = []
  /// The added tokens that are looked for before normalisation, and behind it.
  private(set) var rawTokens: AddedTokens
  private(set) var normalizedTokens: AddedTokens
  private(set) var prefixTokens: [Int32] = []
  private(set) var suffixTokens: [Int32] = []
  private(set) var beginningOfText: Int32?
  private(set) var endOfText: Int32?

  /// The file.
  let path: String
  /// Whether no symbol is left out: else its neighbours could meet.
  private var keepsEverySymbol = false

  /// Reads a `tokenizer.json`, or that of a directory.
  init(path file: String) throws(TokenDataError) {
    path = Self.file(file)
    let directory = FileSystem.parent(of: path)
    name = URL(fileURLWithPath: directory).standardizedFileURL.lastPathComponent
    let contents = try TokenDataError.from(try MappedFile(path: path))
    contentHash = Self.hash(contents)
    let sections = try TokenizerSections(contents)
    let options = try sections.modelOptions()
    normalizer = try sections.normalizer()
    preTokenizer = try sections.preTokenizer()
    decoder = try sections.decoder()
    let added = try sections.addedTokens()
    rawTokens = try Self.search(added.filter { !$0.isNormalized }, nil, path)
    normalizedTokens = try Self.search(added.filter(\.isNormalized), normalizer, path)
    (prefixTokens, suffixTokens) = try sections.template()
    try buildTexts(sections.vocabulary, added)
    if let id = (prefixTokens + suffixTokens).first(where: { Int($0) >= tokenTexts.count }) {
      throw invalid("post_processor.special_tokens", "id \(id) is not in the vocabulary")
    }
    try buildSymbols(sections.vocabulary, options)
    try buildMerges(sections, options)
    try readConfiguration(directory + "/tokenizer_config.json", sections.vocabulary, added)
  }

  /// The `tokenizer.json` that a path means: itself, or that of the directory.
  static func file(_ path: String) -> String {
    path.hasSuffix(".json") ? path : path + "/tokenizer.json"
  }

  /// The hash that tells vocabularies apart.
  static func hash(_ contents: MappedFile) -> String {
    XXH64.hexadecimal(XXH64.hash(contents.bytes))
  }

  private static func search(
    _ tokens: [AddedTokens.Token], _ normalizer: TextNormalizer?, _ path: String
  ) throws(TokenDataError) -> AddedTokens {
    let texts = tokens.map { normalizer?($0.content) ?? $0.content }
    guard let result = AddedTokens(tokens, texts: texts) else {
      throw .invalid(path: path, field: "added_tokens", reason: "two are the same, or one is empty")
    }
    return result
  }

  private func invalid(_ field: String, _ reason: String) -> TokenDataError {
    .invalid(path: path, field: field, reason: reason)
  }

  // MARK: - Vocabulary

  private mutating func buildTexts(
    _ vocabulary: [[UInt8]: Int32], _ added: [AddedTokens.Token]
  ) throws(TokenDataError) {
    let largest = max(vocabulary.values.max() ?? -1, added.map(\.id).max() ?? -1)
    guard largest < 1 << 24 else { throw invalid("model.vocab", "holds id \(largest)") }
    tokenTexts = [[UInt8]?](repeating: nil, count: Int(largest) + 1)
    for (text, id) in vocabulary { tokenTexts[Int(id)] = text }
    for token in added {
      tokenTexts[Int(token.id)] = token.isNormalized ? normalizer(token.content) : token.content
    }
    let special = Set(added.filter(\.isSpecial).map(\.content))
    for (id, text) in tokenTexts.enumerated() {
      if let text, special.contains(text) { skippedTokens.insert(Int32(id)) }
    }
  }

  private mutating func buildSymbols(
    _ vocabulary: [[UInt8]: Int32], _ options: ModelOptions
  ) throws(TokenDataError) {
    var unknown = SymbolTable.Unknown(fuses: options.fusesUnknown)
    if options.fallsBackToBytes { unknown.byteTokens = Self.byteTokens(vocabulary) }
    unknown.token = options.unknownToken.flatMap { vocabulary[$0] }
    // Whether the unknown token can occur.
    let isNeeded: Bool
    if preTokenizer.isByteLevel {
      let ids = (0..<256).map { vocabulary[ByteLevelAlphabet.text(of: UInt8($0))] ?? -1 }
      isNeeded = Self.bytesOfText.contains { ids[$0] < 0 }
      if isNeeded, options.fallsBackToBytes {
        throw .unsupported(
          path: path,
          component: "model.byte_fallback with ByteLevel and a vocabulary without all bytes"
        )
      }
      symbols = SymbolTable(bytes: ids, unknown: unknown)
    } else {
      var table = ScalarTable()
      for (text, id) in vocabulary {
        let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
        if let scalar = scalars.first, scalars.count == 1 { table[scalar.value] = id }
      }
      isNeeded =
        unknown.byteTokens.isEmpty || Self.bytesOfText.contains { unknown.byteTokens[$0] < 0 }
      symbols = SymbolTable(scalars: table, unknown: unknown)
    }
    if isNeeded, options.unknownToken != nil, unknown.token == nil {
      throw invalid("model.unk_token", "is not in the vocabulary")
    }
    keepsEverySymbol = !isNeeded || unknown.token != nil
    if options.ignoresMerges { wholePieces = wholePieces(vocabulary) }
  }

  /// The bytes that occur in UTF-8.
  private static let bytesOfText = (0..<256).filter { $0 < 0xC0 || (0xC2...0xF4).contains($0) }

  /// The ids of `<0x00>` to `<0xFF>`, -1 where there is none.
  private static func byteTokens(_ vocabulary: [[UInt8]: Int32]) -> [Int32] {
    (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      let name = "<0x" + (byte < 16 ? "0" : "") + digits + ">"
      return vocabulary[Array(name.utf8)] ?? -1
    }
  }

  /// The pieces that are tokens: as bytes where pieces are.
  private func wholePieces(_ vocabulary: [[UInt8]: Int32]) -> [[UInt8]: Int32] {
    guard preTokenizer.isByteLevel else { return vocabulary }
    var result: [[UInt8]: Int32] = [:]
    for (text, id) in vocabulary {
      if let bytes = ByteLevelAlphabet.bytes(of: text) { result[bytes] = id }
    }
    return result
  }

  private mutating func buildMerges(
    _ sections: TokenizerSections, _ options: ModelOptions
  ) throws(TokenDataError) {
    let vocabulary = sections.vocabulary
    merges = PairTable(capacity: sections.merges.count)
    for (rank, merge) in sections.merges.enumerated() {
      guard let left = vocabulary[merge.left], let right = vocabulary[merge.right],
        let merged = vocabulary[merge.left + merge.right]
      else { throw invalid("model.merges[\(rank)]", "names a token that is not in the vocabulary") }
      merges.insert(left, right, rank: Int32(rank), merged: merged)
    }
    buildJoints(sections, options)
    if !preTokenizer.isByteLevel, !options.ignoresMerges, vocabulary[WordCuts.marker] != nil {
      var cuts = WordCuts(
        merges: sections.merges, byte: TokenDecoder.byte, unknown: options.unknownToken)
      if !keepsEverySymbol {
        // Where a symbol is left out its neighbours meet: cut only behind bytes that surely stay.
        cuts.keepTogether { $0 >= 0x80 || vocabulary[[$0]] == nil }
      }
      wordCuts = cuts
    }
  }

  /// Finds what merges join: the symbols at which their left tokens end and their right ones begin.
  private mutating func buildJoints(_ sections: TokenizerSections, _ options: ModelOptions) {
    let vocabulary = sections.vocabulary
    /// The symbols that a token can have at an end: its character there, or itself where it stands
    /// for what the vocabulary lacks.
    func symbols(_ text: [UInt8], _ character: ArraySlice<UInt8>) -> [Int32] {
      let standsForOthers = text == options.unknownToken || TokenDecoder.byte(of: text) != nil
      return [vocabulary[Array(character)], standsForOthers ? vocabulary[text] : nil]
        .compactMap { $0 }
    }
    var pairs: Set<[Int32]> = []
    for merge in sections.merges {
      for left in symbols(merge.left, UTF8Scalars.lastCharacter(of: merge.left)) {
        for right in symbols(merge.right, UTF8Scalars.firstCharacter(of: merge.right)) {
          pairs.insert([left, right])
        }
      }
    }
    joints = PairTable(capacity: pairs.count)
    for pair in pairs { joints.insert(pair[0], pair[1], rank: 0, merged: 0) }
  }

  // MARK: - Configuration

  private mutating func readConfiguration(
    _ path: String, _ vocabulary: [[UInt8]: Int32], _ added: [AddedTokens.Token]
  ) throws(TokenDataError) {
    /// The id of a token given as a string or as an object with `content`.
    func tokenID(_ value: JSONValue?) -> Int32? {
      guard let text = value?.string ?? value?["content"]?.string else { return nil }
      let bytes = Array(text.utf8)
      return added.first { $0.content == bytes }?.id ?? vocabulary[bytes]
    }
    let usual = ["</s>", "<|endoftext|>", "<|end_of_text|>", "<eos>"]
    beginningOfText = prefixTokens.first
    endOfText = suffixTokens.last ?? usual.lazy.compactMap { tokenID(.string($0)) }.first
    guard try TokenDataError.from(try FileSystem.exists(path)) else { return }
    let json = try TokenDataError.from(try JSONValue(contentsOf: path))
    beginningOfText = tokenID(json["bos_token"]) ?? beginningOfText
    endOfText = tokenID(json["eos_token"]) ?? endOfText
  }
}
