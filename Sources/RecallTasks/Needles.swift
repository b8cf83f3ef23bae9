import TensorStorage

/// What a needle's key or value looks like.
enum NeedleWord: String {
  /// `adjective-noun`, both from our own lists.
  case word
  /// Seven digits, the first one not 0.
  case number
  /// 128 random bits as a version-4 UUID in lower case.
  case uuid

  /// The next one.
  func draw(_ random: inout CounterRandom) -> String {
    switch self {
    case .word:
      let adjective = WordLists.adjectives[random.below(WordLists.adjectives.count)]
      return adjective + "-" + WordLists.nouns[random.below(WordLists.nouns.count)]
    case .number: return String(1_000_000 + random.below(9_000_000))
    case .uuid: return Self.uuid(&random)
    }
  }

  /// `count` different ones that are not in `taken`.
  func drawDistinct(
    _ count: Int, besides taken: [String] = [], _ random: inout CounterRandom
  ) -> [String] {
    var (words, seen) = ([String](), Set(taken))
    while words.count < count {
      let word = draw(&random)
      if seen.insert(word).inserted { words.append(word) }
    }
    return words
  }

  private static func uuid(_ random: inout CounterRandom) -> String {
    let high = random.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
    let low = random.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    let digits = Array(hexadecimal(high) + hexadecimal(low))
    let parts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }
    return parts.joined(separator: "-")
  }

  private static func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// The fixed words of RULER's needle tasks (Hsieh et al., 2024).
///
/// Its one template speaks of several values. Where a question has one answer, `Some` becomes `A`,
/// `are all` and `are` become `is`, and the type loses its last letter.
struct NeedleTemplate {
  /// The type of the values.
  let values: NeedleWord
  /// Whether a question has one answer.
  let isSingular: Bool

  private var type: String { values.rawValue + (isSingular ? "" : "s") }

  /// What stands before the context.
  var head: String {
    let opening = isSingular ? "A special magic \(type) is" : "Some special magic \(type) are"
    return "\(opening) hidden within the following text. Make sure to memorize it. "
      + "I will quiz you about the \(type) afterwards.\n"
  }

  /// What stands after the context, for one key or more: the question and the beginning of its answer.
  func question(_ keys: [String]) -> String {
    let (asks, says) = isSingular ? ("is", "is") : ("are all", "are")
    let query = enumeration(keys)
    return "What \(asks) the special magic \(type) for \(query) mentioned in the provided text? "
      + "The special magic \(type) for \(query) mentioned in the provided text \(says)"
  }

  /// The sentence that says a value.
  func needle(_ key: String, _ value: String) -> String {
    "One of the special magic \(values.rawValue)s for \(key) is: \(value)."
  }
}

/// `a`, `a, and b`, or `a, b, and c`, as RULER lists keys.
func enumeration(_ words: [String]) -> String {
  guard let last = words.last, words.count > 1 else { return words.first ?? "" }
  return words.dropLast().joined(separator: ", ") + ", and " + last
}
