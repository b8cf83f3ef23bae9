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
  var questions = 1

  var name: String { kind.rawValue }
  var metric: GenerationMetric { .stringMatchAll }
  var fixedSize: Int? { nil }
  var spelling: String { "" }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    guard kind != .single1 || questions == 1 else {
      return Self.noisePrompt(lines: size, needles: questions, &random)
    }
    let key = Self.key(kind, &random)
    let value = Self.value(kind, &random)
    let position = min(Int(random.uniform() * Double(size)), size - 1)
    guard kind != .single1 else {
      return Self.noisePrompt(key: key, value: value, lines: size, position: position)
    }
    var context = ""
    var others: [(key: String, value: String)] = []
    for line in 0..<size {
      if line == position { context += Self.needle(kind, key: key, value: value) }
      var other = Self.key(kind, &random)
      while other == key { other = Self.key(kind, &random) }
      let otherValue = Self.value(kind, &random)
      context += Self.needle(kind, key: other, value: otherValue)
      if questions > 1 { others.append((other, otherValue)) }
    }
    var prompt = TextPrompt(
      head: Self.head(kind), needle: context, tail: Self.tail(kind, key: key), answers: [value],
      depth: Double(position) / Double(size))
    if questions > 1 { prompt.further = Self.further(kind, others, questions - 1, &random) }
    return prompt
  }

  /// Questions about needles whose keys occur once.
  private static func further(
    _ kind: Kind, _ needles: [(key: String, value: String)], _ count: Int,
    _ random: inout CounterRandom
  ) -> [(question: String, answer: String)] {
    let occurrences = Dictionary(needles.map { ($0.key, 1) }, uniquingKeysWith: +)
    let unique = needles.filter { occurrences[$0.key] == 1 }
    return randomOrder(unique.count, &random).prefix(count).map {
      (question: tail(kind, key: unique[$0].key), answer: unique[$0].value)
    }
  }

  /// Several needles with different keys among `lines` noise lines, asked for in random order.
  private static func noisePrompt(
    lines: Int, needles count: Int, _ random: inout CounterRandom
  ) -> TextPrompt {
    var keys: [String] = []
    while keys.count < count {
      let key = key(.single1, &random)
      if !keys.contains(key) { keys.append(key) }
    }
    let values = keys.map { _ in value(.single1, &random) }
    let questions = randomOrder(count, &random).map {
      (question: tail(.single1, key: keys[$0]), answer: values[$0])
    }
    return TextPrompt(
      head: head(.single1), block: PasskeyPrompts.block,
      scattering: zip(keys, values).map { needle(.single1, key: $0, value: $1) }, among: lines,
      questions: questions, &random)
  }

  /// The S-NIAH-1 prompt with the needle before line `position` of `lines` noise lines.
  static func noisePrompt(key: String, value: String, lines: Int, position: Int) -> TextPrompt {
    TextPrompt(
      head: head(.single1), block: PasskeyPrompts.block, blocks: (position, lines - position),
      needle: needle(.single1, key: key, value: value), tail: tail(.single1, key: key),
      answers: [value], depth: Double(position) / Double(lines))
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
