import Foundation

/// A byte-pair encoding read from a Hugging Face `tokenizer.json`.
///
/// Two kinds are known: byte-level vocabularies with the GPT-2 pattern (GPT-2, GPT-NeoX-20B), and
/// SentencePiece-style vocabularies with byte fallback (Llama, Mistral-7B v0.1). Ids agree with
/// the `tokenizers` library. The file's `truncation` and `padding` are ignored. Pieces seen before
/// are remembered; use one instance a thread.
public final class HuggingFaceTokenizer: Tokenizer {
  /// The name of the directory that holds `tokenizer.json`.
  public let name: String

  /// The XXH64 of `tokenizer.json`, in hexadecimal.
  public let contentHash: String

  /// Names the vocabulary and the rules.
  public var identity: String { "tokenizer.json-" + contentHash }

  /// All ids are below this number.
  public let vocabularySize: Int

  /// The id put before a text, if any.
  public let beginningOfText: Int32?

  /// The id that ends a document, if any.
  public let endOfText: Int32?

  private let definition: TokenizerDefinition
  private let rawTokens: AddedTokens
  private let normalizedTokens: AddedTokens
  private var encoder: PieceEncoder
  private var scratch: [UInt8] = []

  /// Reads `tokenizer.json`, and `tokenizer_config.json` if it stands beside it.
  ///
  /// - Parameter path: a directory with a `tokenizer.json`, or the path of the file itself.
  /// - Throws: `.io`, `.invalid`, or `.unsupported` naming a component that is not implemented.
  public convenience init(path: String) throws(TokenDataError) {
    self.init(try TokenizerDefinition(path: path))
  }

  private init(_ definition: TokenizerDefinition) {
    self.definition = definition
    name = definition.name
    contentHash = definition.contentHash
    vocabularySize = definition.tokenBytes.count
    beginningOfText = definition.beginningOfText
    endOfText = definition.endOfText
    rawTokens = AddedTokens(definition.addedTokens.filter { !$0.isNormalized })
    normalizedTokens = AddedTokens(definition.addedTokens.filter(\.isNormalized))
    encoder = PieceEncoder(definition)
  }

  /// A tokenizer that shares the tables and has its own caches.
  public func copyForThread() -> any Tokenizer { HuggingFaceTokenizer(definition) }

  /// The ids of a text, with those of the template around it when `addSpecial`.
  public func encode(_ text: String, addSpecial: Bool) -> [Int32] {
    var text = text
    var result: [Int32] = []
    text.withUTF8 { encode(utf8: $0, addSpecial: addSpecial, appendingTo: &result) }
    return result
  }

  /// Appends the ids of valid UTF-8 text to `output`.
  public func encode(
    utf8 bytes: UnsafeBufferPointer<UInt8>, addSpecial: Bool, appendingTo output: inout [Int32]
  ) {
    if addSpecial { output += definition.prefixTokens }
    // `text` and `token` are called in turn, never both at once.
    withUnsafeMutablePointer(to: &output) { output in
      rawTokens.split(bytes) { range in
        let segment = UnsafeBufferPointer(rebasing: bytes[range])
        encodeSegment(segment, isFirst: range.lowerBound == 0, &output.pointee)
      } token: {
        output.pointee.append($0)
      }
    }
    if addSpecial { output += definition.suffixTokens }
  }

  private func encodeSegment(
    _ bytes: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ output: inout [Int32]
  ) {
    switch definition.kind {
    case .byteLevel(let formC):
      if formC, let normalized = UnicodeNormalization.formC(bytes) {
        normalized.withUnsafeBufferPointer { encodeByteLevel($0, &output) }
      } else {
        encodeByteLevel(bytes, &output)
      }
    case .sentencePiece(let spaces):
      spaces.rewrite(bytes, isFirst: isFirst, into: &scratch)
      scratch.withUnsafeBufferPointer { normalized in
        spaces.split(normalized) { range in
          encoder.encode(UnsafeBufferPointer(rebasing: normalized[range]), appendingTo: &output)
        }
      }
    }
  }

  private func encodeByteLevel(_ bytes: UnsafeBufferPointer<UInt8>, _ output: inout [Int32]) {
    withUnsafeMutablePointer(to: &output) { output in
      normalizedTokens.split(bytes) { range in
        let segment = UnsafeBufferPointer(rebasing: bytes[range])
        GPT2Splitter.split(segment) { piece in
          encoder.encode(
            UnsafeBufferPointer(rebasing: segment[piece]), appendingTo: &output.pointee)
        }
      } token: {
        output.pointee.append($0)
      }
    }
  }

  /// The text of `ids`; special ids are left out, and bytes that are not UTF-8 are replaced.
  public func decode(_ ids: [Int32]) -> String {
    var bytes: [UInt8] = []
    for id in ids where !definition.specialTokens.contains(id) {
      if id >= 0, Int(id) < vocabularySize { bytes += definition.tokenBytes[Int(id)] }
    }
    if case .sentencePiece(let spaces) = definition.kind, spaces.stripsOnDecoding,
      bytes.first == 0x20
    {
      bytes.removeFirst()
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// Turns one piece of normalised text into ids, remembering pieces.
struct PieceEncoder {
  private let symbols: SymbolTable
  private var merger: BytePairMerger
  private var cache = PieceCache()

  init(_ definition: TokenizerDefinition) {
    symbols = definition.symbols
    merger = BytePairMerger(table: definition.merges)
  }

  /// Appends the ids of `piece`.
  mutating func encode(
    _ piece: UnsafeBufferPointer<UInt8>, appendingTo output: inout [Int32]
  ) {
    guard piece.count <= PieceCache.longestPiece else {
      symbols.symbols(of: piece, into: &merger.symbols)
      merger.merge()
      output += merger.symbols
      return
    }
    let hash = PieceCache.hash(piece)
    if cache.find(piece, hash: hash, appendingTo: &output) { return }
    symbols.symbols(of: piece, into: &merger.symbols)
    merger.merge()
    output += merger.symbols
    cache.insert(piece, hash: hash, tokens: merger.symbols)
  }
}

/// The ids with which merging starts.
enum SymbolTable {
  /// One id a byte (-1: the vocabulary lacks it and it cannot occur in UTF-8).
  case bytes([Int32])
  /// One id a Unicode scalar, or its bytes' ids where the vocabulary lacks the scalar.
  case scalars(ScalarTable)

  /// Overwrites `result` with the first symbols of `piece`.
  func symbols(of piece: UnsafeBufferPointer<UInt8>, into result: inout [Int32]) {
    result.removeAll(keepingCapacity: true)
    switch self {
    case .bytes(let ids):
      for byte in piece { result.append(ids[Int(byte)]) }
    case .scalars(let table):
      var offset = 0
      while offset < piece.count {
        let (value, length) = UTF8Scalars.decode(piece, offset)
        let id = table[value]
        if id >= 0 {
          result.append(id)
        } else {
          for byte in piece[offset..<(offset + length)] { result.append(table.bytes[Int(byte)]) }
        }
        offset += length
      }
    }
  }
}

/// Ids of single scalars, and of bytes to fall back to.
struct ScalarTable {
  /// Ids of the 256 byte tokens, `<0x00>` first.
  let bytes: [Int32]
  private var basic = [Int32](repeating: -1, count: 1 << 16)
  private var others: [UInt32: Int32] = [:]

  init(bytes: [Int32]) { self.bytes = bytes }

  /// The id of a scalar, or -1.
  subscript(value: UInt32) -> Int32 {
    get { value < 1 << 16 ? basic[Int(value)] : others[value] ?? -1 }
    set {
      if value < 1 << 16 { basic[Int(value)] = newValue } else { others[value] = newValue }
    }
  }
}
