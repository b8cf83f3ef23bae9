import Compression
import Files
import TokenData

/// A long text that needles are hidden in: words with single spaces between them, repeated from its
/// beginning where more are asked for, and divided into sentences.
///
/// A sentence begins with a word whose first character is an upper-case letter or an opening or straight
/// quote, after a word that ends with `.`, `!` or `?`. (RULER asks a trained model, Punkt.)
struct Haystack: Sendable {
  /// Which text it is, for reports and for what identifies a run's data.
  let source: HaystackSource

  /// The words of one copy, joined by single spaces.
  private let bytes: [UInt8]
  /// Where each word begins in `bytes`; then where another one would.
  private let wordStarts: [Int]
  /// The words that begin a sentence; word 0 where the end of one copy and the beginning of the next do so.
  private let sentences: [Int]

  /// Words of one copy.
  var wordCount: Int { wordStarts.count - 1 }

  /// Divides a text into words and sentences.
  ///
  /// - Returns: nil when it has no word.
  init?(_ text: String, file: String?) {
    var (bytes, wordStarts, sentences) = ([UInt8](), [Int](), [Int]())
    let words = text.unicodeScalars.split { $0.properties.isWhitespace || (28...31) ~= $0.value }
    guard var before = words.last else { return nil }
    for word in words {
      if Self.isBoundary(before, word) { sentences.append(wordStarts.count) }
      wordStarts.append(bytes.count)
      bytes += Substring(word).utf8
      bytes.append(UInt8(ascii: " "))
      before = word
    }
    wordStarts.append(bytes.count)
    self.bytes = bytes
    self.wordStarts = wordStarts
    self.sentences = sentences
    let hash = bytes.withUnsafeBytes { XXH64.hexadecimal(XXH64.hash($0)) }
    source = HaystackSource(file: file, words: words.count, hash: hash)
  }

  private static func isBoundary(
    _ before: Substring.UnicodeScalarView, _ word: Substring.UnicodeScalarView
  ) -> Bool {
    guard let end = before.last, let start = word.first, ".!?".unicodeScalars.contains(end) else {
      return false
    }
    return start.properties.isUppercase
      || "\"'\u{2018}\u{201C}\u{00AB}".unicodeScalars.contains(start)
  }

  /// Reads a file of plain text.
  ///
  /// - Throws: `.io`; `.invalid` when it is not UTF-8 or has no word.
  init(path: String) throws(FileError) {
    let contents = try InputFile.contents(of: path)
    guard let text = String(validating: contents, as: UTF8.self) else {
      throw .invalid(path: path, field: "text", reason: "is not UTF-8; save it as UTF-8 text")
    }
    guard let haystack = Haystack(text, file: path) else {
      throw .invalid(path: path, field: "text", reason: "has no word to hide needles among")
    }
    self = haystack
  }

  // MARK: Words and sentences, counted on through the copies

  /// Words `range` of the text and its repetitions, joined by single spaces.
  func words(_ range: Range<Int>) -> String {
    guard !range.isEmpty else { return "" }
    var text: [UInt8] = []
    var word = range.lowerBound
    while word < range.upperBound {
      let (copy, first) = word.quotientAndRemainder(dividingBy: wordCount)
      let end = min(range.upperBound - copy * wordCount, wordCount)
      text += bytes[wordStarts[first]..<wordStarts[end]]
      word = copy * wordCount + end
    }
    return String(decoding: text.dropLast(), as: UTF8.self)
  }

  /// Sentences that begin before a word; the text's beginning counts as one.
  func sentenceCount(before word: Int) -> Int {
    guard word > 0 else { return 0 }
    let (copies, rest) = word.quotientAndRemainder(dividingBy: wordCount)
    let begun = copies * sentences.count + sentences.partitioningIndex { $0 >= rest }
    return sentences.first == 0 ? begun : begun + 1
  }

  /// The word with which a sentence begins.
  func word(ofSentence sentence: Int) -> Int {
    guard sentences.first != 0 else { return start(sentence) }
    return sentence == 0 ? 0 : start(sentence - 1)
  }

  private func start(_ sentence: Int) -> Int {
    let (copy, index) = sentence.quotientAndRemainder(dividingBy: sentences.count)
    return copy * wordCount + sentences[index]
  }
}

/// Which text needles were hidden in.
public struct HaystackSource: Sendable, Equatable, CustomStringConvertible {
  /// The user's file; nil for the text that the program generates.
  public let file: String?
  /// Its words.
  public let words: Int
  /// XXH64 of the words with single spaces between them and a space at the end.
  public let hash: String

  /// What identifies the text, wherever its file is.
  public var description: String { "haystack \(hash) of \(words) words" }
}

/// The option `haystack` of a task, and the text once it is read.
struct HaystackOption: Sendable {
  /// A file of plain text; nil for the generated text.
  var path: String?
  private(set) var text: Haystack = .generated

  /// Reads the text.
  mutating func load() throws(RecallTaskError) {
    guard let path else { return }
    do {
      text = try Haystack(path: path)
    } catch {
      throw .file(error)
    }
  }

  /// Part of the key of random numbers.
  var spelling: String { "haystack=\(text.source.hash)" }
}
