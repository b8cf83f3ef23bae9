import ErrorReporting
import Foundation
import TensorStorage
import TokenData

/// Copying strings of letters, or looking up what follows a few of them (Jelassi et al., 2024).
///
/// With `V` letters: ids 0..<V are the letters, then come `$`, `|`, `.` and the padding `*`. A row is packed with
/// examples, each about a string of random letters, until the next one does not fit; the rest is padding.
///
///     copy           $ string | string .
///     prefix_lookup  $ ngram | string | answer .
///     suffix_lookup  $ string | ngram answer .
///
/// An n-gram that is looked up occurs once in its string; the answer is what follows it, `answer` letters
/// or all there are. The answer and its full stop are the targets that count. The original cuts the last
/// example off where the row ends, and its n-grams may occur twice.
public final class StringCopyingTask: SampleSource {
  /// What is asked.
  public enum Mode: String, Sendable, CaseIterable {
    /// The whole string.
    case copy
    /// What follows an n-gram that stands before the string.
    case prefixLookup = "prefix_lookup"
    /// What follows an n-gram that stands after the string.
    case suffixLookup = "suffix_lookup"
  }

  /// What the samples look like.
  public struct Configuration: Sendable, Equatable {
    /// Letters of the alphabet.
    ///
    /// Default 26.
    public var letters = 26
    /// Letters of the shortest string.
    ///
    /// Default 10.
    public var shortest = 10
    /// Letters of the longest string; lengths are uniform.
    ///
    /// Default 25.
    public var longest = 25
    /// Default copy.
    public var mode = Mode.copy
    /// Letters of an n-gram that is looked up.
    ///
    /// Default 3.
    public var ngram = 3
    /// Letters of the answer to a look-up; 0 is all that follow.
    ///
    /// Default 0.
    public var answer = 0

    /// The defaults.
    public init() {}

    /// Everything that shapes a sample; part of the random numbers' key, so never change it.
    func spelling(_ length: Int) -> String {
      "length=\(length) letters=\(letters) lengths=\(shortest)-\(longest) mode=\(mode.rawValue)"
        + (mode == .copy ? "" : " ngram=\(ngram) answer=\(answer)")
    }

    /// Tokens of the longest example.
    fileprivate var longestExample: Int {
      let told = mode == .copy ? longest : answer == 0 ? longest - ngram : answer
      return longest + told + (mode == .copy ? 3 : mode == .prefixLookup ? ngram + 4 : ngram + 3)
    }
  }

  /// Positions in a sample, `T`.
  public let sequenceLength: Int

  /// Nil: the samples never end.
  public var sampleCount: Int? { nil }

  /// All token ids written are below this number.
  public var requiredVocabulary: Int { configuration.letters + 4 }

  /// What the samples look like.
  public let configuration: Configuration

  private let randomness: TaskRandomness
  private let begin, bar, stop, padding: Int32

  /// Checks the configuration.
  ///
  /// - Throws: `RecallTaskError.invalidOption` naming the option that cannot be used.
  public init(
    configuration: Configuration, sequenceLength: Int, seed: UInt64, stream: SampleStream
  ) throws(RecallTaskError) {
    try Self.check(configuration, sequenceLength)
    self.configuration = configuration
    self.sequenceLength = sequenceLength
    randomness = TaskRandomness(
      seed: seed, task: "string_copying", options: configuration.spelling(sequenceLength),
      stream: stream)
    let first = Int32(configuration.letters)
    (begin, bar, stop, padding) = (first, first + 1, first + 2, first + 3)
  }

  private static func check(
    _ configuration: Configuration, _ length: Int
  ) throws(RecallTaskError) {
    func demand(_ holds: Bool, _ option: String, _ reason: String) throws(RecallTaskError) {
      if !holds { throw .invalidOption(task: "string_copying", option: option, reason: reason) }
    }
    let (shortest, longest) = (configuration.shortest, configuration.longest)
    require(
      (2...largestVocabulary).contains(configuration.letters) && shortest >= 1
        && configuration.ngram >= 1 && configuration.answer >= 0, "\(configuration)")
    try demand(
      longest >= shortest, "max_length", "is \(longest), less than min_length, \(shortest)")
    if configuration.mode != .copy {
      let needed = configuration.ngram + max(configuration.answer, 1)
      try demand(
        shortest >= needed, "min_length",
        "is \(shortest): an n-gram of \(configuration.ngram) and its answer need \(needed)")
      // With fewer, strings without an n-gram that occurs once could be drawn again and again.
      let ngrams = pow(Double(configuration.letters), Double(configuration.ngram))
      try demand(
        ngrams >= Double(longest), "ngram",
        "is \(configuration.ngram): too few for strings of \(longest) out of"
          + " \(configuration.letters) letters, where every n-gram may occur twice")
    }
    // The row's first token is no target.
    let needed = configuration.longestExample - 1
    try demand(
      needed <= length, "max_length",
      "of \(longest) needs a sequence of \(needed) or more, not \(length)")
  }

  /// Overwrites `buffer` with sample `index`.
  public func write(sample index: UInt64, into buffer: SampleBuffer) {
    require(
      buffer.sequenceLength == sequenceLength,
      "\(buffer.sequenceLength) tokens, not \(sequenceLength)")
    var random = randomness.generator(index)
    buffer.clear(padding: padding)
    var position = 0
    while true {
      let example = example(&random)
      guard position + example.tokens.count <= sequenceLength + 1 else { return }
      for (offset, token) in example.tokens.enumerated() {
        buffer.place(token, at: position + offset, weight: offset >= example.answer ? 1 : 0)
      }
      position += example.tokens.count
    }
  }

  /// An example, and where its answer begins.
  private func example(_ random: inout CounterRandom) -> (tokens: [Int32], answer: Int) {
    let (shortest, longest) = (configuration.shortest, configuration.longest)
    let length = shortest + random.below(longest - shortest + 1)
    func string() -> [Int32] {
      (0..<length).map { _ in Int32(random.below(configuration.letters)) }
    }
    guard configuration.mode != .copy else {
      let string = string()
      return ([begin] + string + [bar] + string + [stop], length + 2)
    }
    var letters = string()
    var places = lookups(letters)
    while places.isEmpty {
      letters = string()
      places = lookups(letters)
    }
    let place = places[random.below(places.count)]
    let ngram = letters[place..<(place + configuration.ngram)]
    let rest = letters[(place + configuration.ngram)...]
    let answer = configuration.answer == 0 ? rest : rest.prefix(configuration.answer)
    let question =
      configuration.mode == .prefixLookup
      ? [begin] + ngram + [bar] + letters + [bar] : [begin] + letters + [bar] + ngram
    return (question + answer + [stop], question.count)
  }

  /// Where an n-gram begins that occurs once and has an answer.
  private func lookups(_ letters: [Int32]) -> [Int] {
    let count = letters.count - configuration.ngram + 1
    var occurrences: [ArraySlice<Int32>: Int] = [:]
    let ngrams = (0..<count).map { letters[$0..<($0 + configuration.ngram)] }
    for ngram in ngrams { occurrences[ngram, default: 0] += 1 }
    let last = count - max(configuration.answer, 1)
    return (0..<max(last, 0)).filter { occurrences[ngrams[$0]] == 1 }
  }
}
