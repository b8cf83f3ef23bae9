/// UTF-8 bytes as token ids: byte `b` is id `b`, id 256 ends a document; there is no beginning id.
public final class ByteTokenizer: Tokenizer {
  /// What people call it.
  public let name = "byte"

  /// Tells vocabularies apart.
  public let contentHash = "byte"

  /// Names the vocabulary and the rules.
  public let identity = "byte"

  /// All ids are below this number.
  public let vocabularySize = 257

  /// The id put before a text, if any.
  public let beginningOfText: Int32? = nil

  /// The id that ends a document, if any.
  public let endOfText: Int32? = 256

  /// The one byte tokenizer there is.
  public init() {}

  /// Another one; there is nothing to share.
  public func copyForThread() -> any Tokenizer { ByteTokenizer() }

  /// The ids of a text, with those of the template around it when `addSpecial`.
  public func encode(_ text: String, addSpecial: Bool) -> [Int32] {
    text.utf8.map { Int32($0) }
  }

  /// Appends the bytes to `output`.
  public func encode(
    utf8 bytes: UnsafeBufferPointer<UInt8>, addSpecial: Bool, appendingTo output: inout [Int32]
  ) {
    output.append(contentsOf: bytes.lazy.map { Int32($0) })
  }

  /// The text of `ids`; special ids are left out, and bytes that are not UTF-8 are replaced.
  public func decode(_ ids: [Int32]) -> String {
    String(decoding: ids.compactMap { UInt8(exactly: $0) }, as: UTF8.self)
  }
}
