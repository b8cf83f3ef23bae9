import Compression
import Files
import Foundation
import JSON

/// A tokenizer as its files define it, checked and in the form that encoding needs.
struct TokenizerDefinition {
  /// The pipeline before the merges.
  enum Kind {
    /// Bytes are symbols; text is split by the GPT-2 pattern; perhaps in form C first.
    case byteLevel(formC: Bool)
    /// Scalars are symbols, with byte fallback.
    case sentencePiece(SentencePieceSpaces)
  }

  private(set) var kind = Kind.byteLevel(formC: false)
  /// The name of the file's directory.
  private(set) var name = ""
  /// The XXH64 of the file, in hexadecimal.
  private(set) var contentHash = ""
  private(set) var symbols = SymbolTable.bytes([])
  private(set) var merges = PairTable(capacity: 0)
  /// The text of each id, as bytes; empty for ids that do not exist.
  private(set) var tokenBytes: [[UInt8]] = []
  private(set) var addedTokens: [AddedTokens.Token] = []
  private(set) var specialTokens: Set<Int32> = []
  private(set) var prefixTokens: [Int32] = []
  private(set) var suffixTokens: [Int32] = []
  private(set) var beginningOfText: Int32?
  private(set) var endOfText: Int32?

  private let path: String
  private var vocabulary: [[UInt8]: Int32] = [:]

  /// Reads a `tokenizer.json`, or that of a directory.
  init(path file: String) throws(TokenDataError) {
    let isFile = file.hasSuffix(".json")
    path = isFile ? file : file + "/tokenizer.json"
    let directory = isFile ? FileSystem.parent(of: file) : file
    name = URL(fileURLWithPath: directory).standardizedFileURL.lastPathComponent
    let file = try TokenDataError.from(try MappedFile(path: path))
    contentHash = XXH64.hexadecimal(XXH64.hash(file.bytes))
    let sections = try TokenizerSections(file)
    vocabulary = sections.vocabulary
    kind = try sections.kind()
    addedTokens = try sections.addedTokens()
    (prefixTokens, suffixTokens) = try sections.template()
    specialTokens = Set(addedTokens.filter(\.isSpecial).map(\.id))
    try checkAddedTokens()
    try buildTokenBytes()
    try buildSymbols()
    try buildMerges(sections.merges)
    try readConfiguration(directory + "/tokenizer_config.json")
    vocabulary = [:]
  }

  private func invalid(_ field: String, _ reason: String) -> TokenDataError {
    .invalid(path: path, field: field, reason: reason)
  }

  private func checkAddedTokens() throws(TokenDataError) {
    guard case .sentencePiece = kind else { return }
    if let token = addedTokens.first(where: \.isNormalized) {
      let name = String(decoding: token.content, as: UTF8.self)
      throw .unsupported(
        path: path, component: "added_tokens '\(name)' with normalized true in this kind of file")
    }
  }

  private mutating func buildTokenBytes() throws(TokenDataError) {
    let largest = max(vocabulary.values.max() ?? -1, addedTokens.map(\.id).max() ?? -1)
    guard largest < 1 << 24 else { throw invalid("model.vocab", "holds id \(largest)") }
    tokenBytes = [[UInt8]](repeating: [], count: Int(largest) + 1)
    for (text, id) in vocabulary {
      guard id >= 0 else { throw invalid("model.vocab", "holds a negative id") }
      switch kind {
      case .byteLevel: tokenBytes[Int(id)] = ByteLevelAlphabet.bytes(of: text)
      case .sentencePiece:
        tokenBytes[Int(id)] =
          Self.byteToken(text).map { [$0] }
          ?? text.replacing(SentencePieceSpaces.marker, with: [0x20])
      }
    }
    for token in addedTokens { tokenBytes[Int(token.id)] = token.content }
  }

  /// The byte that `<0xXX>` stands for.
  private static func byteToken(_ text: [UInt8]) -> UInt8? {
    guard text.count == 6, text.starts(with: "<0x".utf8), text[5] == UInt8(ascii: ">") else {
      return nil
    }
    return UInt8(String(decoding: text[3..<5], as: UTF8.self), radix: 16)
  }

  private mutating func buildSymbols() throws(TokenDataError) {
    switch kind {
    case .byteLevel:
      var ids = [Int32](repeating: -1, count: 256)
      for byte in 0..<256 {
        let id = vocabulary[ByteLevelAlphabet.text(of: UInt8(byte))]
        ids[byte] = id ?? -1
        let occurs = byte < 0xC0 || (0xC2...0xF4).contains(byte)
        if id == nil, occurs { throw invalid("model.vocab", "has no token for byte \(byte)") }
      }
      symbols = .bytes(ids)
    case .sentencePiece:
      var bytes = [Int32](repeating: -1, count: 256)
      for byte in 0..<256 {
        let digits = String(byte, radix: 16, uppercase: true)
        let name = "<0x" + (byte < 16 ? "0" : "") + digits + ">"
        guard let id = vocabulary[Array(name.utf8)] else {
          throw invalid("model.vocab", "has no byte token \(name)")
        }
        bytes[byte] = id
      }
      var table = ScalarTable(bytes: bytes)
      for (text, id) in vocabulary {
        let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
        if let scalar = scalars.first, scalars.count == 1 { table[scalar.value] = id }
      }
      symbols = .scalars(table)
    }
  }

  private mutating func buildMerges(
    _ list: [(left: [UInt8], right: [UInt8])]
  ) throws(TokenDataError) {
    merges = PairTable(capacity: list.count)
    var crossesWords = false
    for (rank, merge) in list.enumerated() {
      guard let left = vocabulary[merge.left], let right = vocabulary[merge.right],
        let merged = vocabulary[merge.left + merge.right]
      else { throw invalid("model.merges[\(rank)]", "names a token that is not in the vocabulary") }
      merges.insert(left, right, rank: Int32(rank), merged: merged)
      let marker = SentencePieceSpaces.marker
      if merge.right.starts(with: marker), !merge.left.suffix(3).elementsEqual(marker) {
        crossesWords = true
      }
    }
    if case .sentencePiece(var spaces) = kind {
      spaces.splitsBeforeWords = !crossesWords
      kind = .sentencePiece(spaces)
    }
  }

  private mutating func readConfiguration(_ path: String) throws(TokenDataError) {
    beginningOfText = prefixTokens.first
    guard try TokenDataError.from(try FileSystem.exists(path)) else {
      endOfText = suffixTokens.last ?? guessedEnd()
      return
    }
    let json = try TokenDataError.from(try JSONValue(contentsOf: path))
    beginningOfText = tokenID(json["bos_token"]) ?? beginningOfText
    endOfText = tokenID(json["eos_token"]) ?? suffixTokens.last ?? guessedEnd()
  }

  /// The id of a token given as a string or as an object with `content`.
  private func tokenID(_ value: JSONValue?) -> Int32? {
    guard let text = value?.string ?? value?["content"]?.string else { return nil }
    let bytes = Array(text.utf8)
    return addedTokens.first { $0.content == bytes }?.id ?? vocabulary[bytes]
  }

  private func guessedEnd() -> Int32? {
    ["</s>", "<|endoftext|>"].lazy.compactMap { tokenID(.string($0)) }.first
  }
}

/// GPT-2's printable spelling of bytes: byte-level vocabularies are written in it.
enum ByteLevelAlphabet {
  /// The scalar that stands for each byte.
  private static let scalars: [Unicode.Scalar] = {
    var result: [Unicode.Scalar] = []
    var extra: UInt32 = 0x100
    for byte in 0..<256 as Range<UInt32> {
      let isPrintable =
        (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      let value = isPrintable ? byte : extra
      if !isPrintable { extra += 1 }
      result.append(Unicode.Scalar(value) ?? " ")
    }
    return result
  }()

  private static let inverse = Dictionary(
    uniqueKeysWithValues: scalars.enumerated().map { ($1, UInt8($0)) })

  /// The spelling of a byte, in UTF-8.
  static func text(of byte: UInt8) -> [UInt8] { Array(String(scalars[Int(byte)]).utf8) }

  /// The bytes that a vocabulary's entry stands for; the text itself where it is not spelt so.
  static func bytes(of text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
      guard let byte = inverse[scalar] else { return text }
      result.append(byte)
    }
    return result
  }
}
