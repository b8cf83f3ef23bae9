import TensorStorage

/// RULER's needle-in-a-haystack tasks whose haystack needs no text (Hsieh et al., 2024).
struct NeedlePrompts: PromptGenerator {
  /// Which of RULER's tasks.
  enum Kind: String, CaseIterable {
    /// S-NIAH-1: repeated sentences, one needle with a word key and a 7-digit number.
    case single1 = "niah_single_1"
    /// MK-NIAH-2: the haystack is other needles with word keys and numbers.
    case multikey2 = "niah_multikey_2"
    /// MK-NIAH-3: the haystack is other needles with UUID keys and values.
    case multikey3 = "niah_multikey_3"
  }

  let kind: Kind
  var maximumNewTokens: Int? = 128

  var name: String { kind.rawValue }
  var metric: GenerationMetric { .stringMatchAll }
  var fixedSize: Int? { nil }
  var spelling: String { "" }

  func prompt(size: Int, random: CounterRandom, depth: Double?) -> TextPrompt {
    var random = random
    let key = Self.key(kind, &random)
    let value = Self.value(kind, &random)
    let position = min(Int(random.uniform() * Double(size)), size - 1)
    guard kind != .single1 else {
      return Self.noisePrompt(key: key, value: value, lines: size, position: position)
    }
    var context = ""
    for line in 0..<size {
      if line == position { context += Self.needle(kind, key: key, value: value) }
      var other = Self.key(kind, &random)
      while other == key { other = Self.key(kind, &random) }
      context += Self.needle(kind, key: other, value: Self.value(kind, &random))
    }
    return TextPrompt(
      head: Self.head(kind), needle: context, tail: Self.tail(kind, key: key), answers: [value],
      depth: Double(position) / Double(size))
  }

  /// The S-NIAH-1 prompt with the needle before line `position` of `lines` noise lines.
  static func noisePrompt(key: String, value: String, lines: Int, position: Int) -> TextPrompt {
    TextPrompt(
      head: head(.single1), block: PasskeyPrompts.block, blocksBefore: position,
      needle: needle(.single1, key: key, value: value), blocksAfter: lines - position,
      tail: tail(.single1, key: key), answers: [value], depth: Double(position) / Double(lines))
  }

  private static func type(_ kind: Kind) -> String { kind == .multikey3 ? "uuid" : "number" }

  private static func head(_ kind: Kind) -> String {
    "A special magic \(type(kind)) is hidden within the following text. Make sure to memorize it. "
      + "I will quiz you about the \(type(kind)) afterwards.\n"
  }

  private static func needle(_ kind: Kind, key: String, value: String) -> String {
    "One of the special magic \(type(kind))s for \(key) is: \(value).\n"
  }

  private static func tail(_ kind: Kind, key: String) -> String {
    "What is the special magic \(type(kind)) for \(key) mentioned in the provided text? "
      + "The special magic \(type(kind)) for \(key) mentioned in the provided text is"
  }

  private static func key(_ kind: Kind, _ random: inout CounterRandom) -> String {
    guard kind != .multikey3 else { return uuid(&random) }
    let adjective = WordLists.adjectives[random.below(WordLists.adjectives.count)]
    return adjective + "-" + WordLists.nouns[random.below(WordLists.nouns.count)]
  }

  private static func value(_ kind: Kind, _ random: inout CounterRandom) -> String {
    kind == .multikey3 ? uuid(&random) : String(1_000_000 + random.below(9_000_000))
  }

  /// 128 random bits as a version-4 UUID in lower case.
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

/// The S-NIAH-1 prompt for a given needle, answer prefix included.
///
/// - Parameters:
///   - key: what the needle is about.
///   - value: what is to be found.
///   - lines: noise lines.
///   - position: how many of them come before the needle.
/// - Returns: the prompt's text.
public func singleNeedlePrompt(key: String, value: String, lines: Int, position: Int) -> String {
  NeedlePrompts.noisePrompt(key: key, value: value, lines: lines, position: position).text
}
