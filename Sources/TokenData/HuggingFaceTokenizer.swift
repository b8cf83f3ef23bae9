import Files
import Foundation

/// A byte-pair encoding read from a Hugging Face `tokenizer.json`.
///
/// Ids and decoded texts are those of the `tokenizers` library; `docs/data.md` lists what of its
/// components is known. The file's `truncation` and `padding` are ignored. Pieces seen before are
/// remembered; every thread needs an instance of its own (`copyForThread`).
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
  /// In memory of its own, so that using it needs no check for exclusive access.
  private let encoder: UnsafeMutablePointer<PieceEncoder>

  /// Reads `tokenizer.json`, and `tokenizer_config.json` if it stands beside it.
  ///
  /// - Parameter path: a directory with a `tokenizer.json`, or the path of the file itself.
  /// - Throws: `.io`, `.invalid`, or `.unsupported` naming a component that is not implemented.
  public convenience init(path: String) throws(TokenDataError) {
    self.init(try TokenizerDefinition(path: path))
  }

  /// The `contentHash` of the tokenizer at `path`, of which no more than its bytes is read.
  ///
  /// - Parameter path: a directory with a `tokenizer.json`, or the path of the file itself.
  /// - Returns: nil where there is no such file.
  /// - Throws: `.file`.
  public static func contentHash(path: String) throws(TokenDataError) -> String? {
    let file = TokenizerDefinition.file(path)
    guard try TokenDataError.from(try FileSystem.exists(file)) else { return nil }
    return TokenizerDefinition.hash(try TokenDataError.from(try MappedFile(path: file)))
  }

  /// The file that it was read from.
  public var path: String? { definition.path }

  private init(_ definition: TokenizerDefinition) {
    self.definition = definition
    name = definition.name
    contentHash = definition.contentHash
    vocabularySize = definition.tokenTexts.count
    beginningOfText = definition.beginningOfText
    endOfText = definition.endOfText
    encoder = .allocate(capacity: 1)
    encoder.initialize(to: PieceEncoder(definition))
  }

  deinit {
    encoder.deinitialize(count: 1)
    encoder.deallocate()
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
      definition.rawTokens.split(bytes) { range in
        let segment = UnsafeBufferPointer(rebasing: bytes[range])
        let isFirst = range.lowerBound == 0
        if let normalized = definition.normalizer(segment) {
          normalized.withUnsafeBufferPointer { encodeNormalized($0, isFirst: isFirst, output) }
        } else {
          encodeNormalized(segment, isFirst: isFirst, output)
        }
      } token: {
        output.pointee.append($0)
      }
    }
    if addSpecial { output += definition.suffixTokens }
  }

  private func encodeNormalized(
    _ bytes: UnsafeBufferPointer<UInt8>, isFirst: Bool, _ output: UnsafeMutablePointer<[Int32]>
  ) {
    definition.normalizedTokens.split(bytes) { range in
      let segment = UnsafeBufferPointer(rebasing: bytes[range])
      definition.preTokenizer.split(segment, isFirst: isFirst && range.lowerBound == 0) { piece in
        guard let cuts = definition.wordCuts else {
          return encoder.pointee.encode(piece, appendingTo: &output.pointee)
        }
        cuts.split(piece) {
          encoder.pointee.encode(
            UnsafeBufferPointer(rebasing: piece[$0]), appendingTo: &output.pointee)
        }
      }
    } token: {
      output.pointee.append($0)
    }
  }

  /// The text of `ids`; special ids are left out, and bytes that are not UTF-8 are replaced.
  public func decode(_ ids: [Int32]) -> String {
    definition.decoder(
      ids.compactMap { id in
        guard id >= 0, Int(id) < vocabularySize else { return nil }
        return definition.skippedTokens.contains(id) ? nil : definition.tokenTexts[Int(id)]
      })
  }
}
