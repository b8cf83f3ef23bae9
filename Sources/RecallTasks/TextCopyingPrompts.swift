import TensorStorage

/// Copying a text (Jelassi et al., 2024): the text twice, then its first word, after which the rest is to be
/// told.
///
/// The texts are stretches of a long one with single spaces between words, so that the first line of an
/// answer is all of it.
struct TextCopyingPrompts: PromptGenerator {
  /// Where the words come from.
  enum Order: String, CaseIterable {
    /// As they follow each other.
    case text
    /// In random order.
    case random
  }

  var haystack = HaystackOption()
  /// Words of the text that is copied; of several numbers, one is drawn for each prompt; none fills the
  /// sequence.
  ///
  /// Default none.
  var words: [Int] = []
  /// Default text.
  var order = Order.text
  var maximumNewTokens: Int?

  var questions: Int { 1 }
  var name: String { "text_copying" }
  var metric: GenerationMetric { .exactMatch }
  // A text of one word has nothing to tell.
  var fixedSizes: [Int] { words.map { $0 - 1 } }
  var spelling: String {
    "words=\(words.isEmpty ? "fill" : "\(words)") order=\(order.rawValue) " + haystack.spelling
  }
  var source: HaystackSource? { haystack.text.source }

  mutating func load() throws(RecallTaskError) { try haystack.load() }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    let first = random.below(haystack.text.wordCount)
    var words = (first...(first + size)).map { haystack.text.words($0..<($0 + 1)) }
    if order == .random { words = randomOrder(words.count, &random).map { words[$0] } }
    let text = words.joined(separator: " ")
    return TextPrompt(
      head: "", needle: text + "\n\n" + text + "\n\n", tail: words[0],
      answers: [words.dropFirst().joined(separator: " ")], depth: nil)
  }
}
