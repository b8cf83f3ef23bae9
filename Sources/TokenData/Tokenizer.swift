/// Turns text into token ids and back.
///
/// Implementations may keep caches and are used by one thread at a time; `copyForThread` gives every
/// thread its own.
public protocol Tokenizer: AnyObject {
  /// What people call it: the name of the directory it was read from, or `byte`.
  var name: String { get }

  /// Tells vocabularies apart whatever their names: the XXH64 of `tokenizer.json` in hexadecimal, or
  /// `byte`.
  var contentHash: String { get }

  /// The file that it was read from; nil for one that is built in.
  var path: String? { get }

  /// Names the vocabulary and the rules, for fingerprints and reports.
  var identity: String { get }

  /// All ids are below this number.
  var vocabularySize: Int { get }

  /// The id put before a text, or nil when the tokenizer has none.
  var beginningOfText: Int32? { get }

  /// The id that ends a document, or nil when the tokenizer has none.
  var endOfText: Int32? { get }

  /// A tokenizer with the same vocabulary, for another thread.
  ///
  /// The tables are shared, so this neither reads files nor takes much memory. Caches and buffers are
  /// the copy's own; ids do not depend on them.
  func copyForThread() -> any Tokenizer

  /// The ids of a text.
  ///
  /// - Parameters:
  ///   - text: any text.
  ///   - addSpecial: whether to add the ids that the tokenizer's template puts around a text.
  /// - Returns: the ids in order.
  func encode(_ text: String, addSpecial: Bool) -> [Int32]

  /// Appends the ids of a text to `output`.
  ///
  /// - Parameters:
  ///   - bytes: the text, valid UTF-8.
  ///   - addSpecial: whether to add the ids that the tokenizer's template puts around a text.
  ///   - output: where the ids go.
  func encode(
    utf8 bytes: UnsafeBufferPointer<UInt8>, addSpecial: Bool, appendingTo output: inout [Int32])

  /// The text of `ids`; special ids are left out, and bytes that are not UTF-8 are replaced.
  func decode(_ ids: [Int32]) -> String
}

extension Tokenizer {
  /// One that is built in.
  public var path: String? { nil }

  /// Appends the ids of a text to `output`, by way of a string.
  public func encode(
    utf8 bytes: UnsafeBufferPointer<UInt8>, addSpecial: Bool, appendingTo output: inout [Int32]
  ) {
    output += encode(String(decoding: bytes, as: UTF8.self), addSpecial: addSpecial)
  }
}

/// The tokenizer that a command's `--tokenizer` names.
///
/// - Parameter name: `byte`, a directory with a `tokenizer.json`, or the path of such a file.
/// - Returns: a new tokenizer.
/// - Throws: `TokenDataError` when the tokenizer cannot be read or is not supported.
public func loadTokenizer(_ name: String) throws(TokenDataError) -> any Tokenizer {
  if name == "byte" { return ByteTokenizer() }
  return try HuggingFaceTokenizer(path: name)
}
