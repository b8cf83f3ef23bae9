/// Turns text into token ids and back.
///
/// Implementations may keep caches and are used by one thread at a time.
public protocol Tokenizer: AnyObject {
  /// Names the vocabulary and the rules, for fingerprints and reports.
  var identity: String { get }

  /// All ids are below this number.
  var vocabularySize: Int { get }

  /// The id put before a text, or nil when the tokenizer has none.
  var beginningOfText: Int32? { get }

  /// The id that ends a document, or nil when the tokenizer has none.
  var endOfText: Int32? { get }

  /// The ids of a text.
  ///
  /// - Parameters:
  ///   - text: any text.
  ///   - addSpecial: whether to add the ids that the tokenizer's template puts around a text.
  /// - Returns: the ids in order.
  func encode(_ text: String, addSpecial: Bool) -> [Int32]

  /// The text of `ids`; special ids are left out, and bytes that are not UTF-8 are replaced.
  func decode(_ ids: [Int32]) -> String
}
