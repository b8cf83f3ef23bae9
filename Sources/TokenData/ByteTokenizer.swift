import RecallTasks

/// UTF-8 bytes as token ids: byte `b` is id `b`, id 256 ends a document; there is no beginning id.
public final class ByteTokenizer: Tokenizer {
  public let identity = "byte"
  public let vocabularySize = 257
  public let beginningOfText: Int32? = nil
  public let endOfText: Int32? = 256

  /// The one byte tokenizer there is.
  public init() {}

  public func encode(_ text: String, addSpecial: Bool) -> [Int32] {
    text.utf8.map { Int32($0) }
  }

  public func decode(_ ids: [Int32]) -> String {
    String(decoding: ids.compactMap { UInt8(exactly: $0) }, as: UTF8.self)
  }
}
