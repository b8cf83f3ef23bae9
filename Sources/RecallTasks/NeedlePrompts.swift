import TensorStorage

/// RULER's needle-in-a-haystack tasks whose haystack is sentences that repeat, or other needles.
struct NeedlePrompts: PromptGenerator {
  /// Which of RULER's tasks.
  enum Kind: String, CaseIterable {
    /// S-NIAH-1: repeated sentences, one needle with a word key and a 7-digit number.
    case single1 = "niah_single_1"
    /// MK-NIAH-2: the haystack is other needles with word keys and numbers.
    case multikey2 = "niah_multikey_2"
    /// MK-NIAH-3: the haystack is other needles with UUID keys and values.
    case multikey3 = "niah_multikey_3"

    var keys: NeedleWord { self == .multikey3 ? .uuid : .word }
    var values: NeedleWord { self == .multikey3 ? .uuid : .number }
  }

  let kind: Kind
  var maximumNewTokens: Int? = 128
  var questions = 1

  var name: String { kind.rawValue }
  var metric: GenerationMetric { .stringMatchAll }
  var spelling: String { "" }

  private var template: NeedleTemplate { NeedleTemplate(values: kind.values, isSingular: true) }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    guard kind != .single1 || questions == 1 else {
      return noisePrompt(lines: size, needles: questions, &random)
    }
    let key = kind.keys.draw(&random)
    let value = kind.values.draw(&random)
    let position = min(Int(random.uniform() * Double(size)), size - 1)
    guard kind != .single1 else {
      return Self.noisePrompt(key: key, value: value, lines: size, position: position)
    }
    var context = ""
    var others: [(key: String, value: String)] = []
    for line in 0..<size {
      if line == position { context += template.needle(key, value) + "\n" }
      var other = kind.keys.draw(&random)
      while other == key { other = kind.keys.draw(&random) }
      let otherValue = kind.values.draw(&random)
      context += template.needle(other, otherValue) + "\n"
      if questions > 1 { others.append((other, otherValue)) }
    }
    var prompt = TextPrompt(
      head: template.head, needle: context, tail: template.question([key]), answers: [value],
      depth: Double(position) / Double(size))
    if questions > 1 { prompt.further = further(others, questions - 1, &random) }
    return prompt
  }

  /// Questions about needles whose keys occur once.
  private func further(
    _ needles: [(key: String, value: String)], _ count: Int, _ random: inout CounterRandom
  ) -> [(question: String, answer: String)] {
    let occurrences = Dictionary(needles.map { ($0.key, 1) }, uniquingKeysWith: +)
    let unique = needles.filter { occurrences[$0.key] == 1 }
    return randomOrder(unique.count, &random).prefix(count).map {
      (question: template.question([unique[$0].key]), answer: unique[$0].value)
    }
  }

  /// Several needles with different keys among `lines` noise lines, asked for in random order.
  private func noisePrompt(
    lines: Int, needles count: Int, _ random: inout CounterRandom
  ) -> TextPrompt {
    let keys = kind.keys.drawDistinct(count, &random)
    let values = keys.map { _ in kind.values.draw(&random) }
    let questions = randomOrder(count, &random).map {
      (question: template.question([keys[$0]]), answer: values[$0])
    }
    return TextPrompt(
      head: template.head, block: PasskeyPrompts.block,
      scattering: zip(keys, values).map { template.needle($0, $1) + "\n" }, among: lines,
      questions: questions, &random)
  }

  /// The S-NIAH-1 prompt with the needle before line `position` of `lines` noise lines.
  static func noisePrompt(key: String, value: String, lines: Int, position: Int) -> TextPrompt {
    let template = NeedleTemplate(values: .number, isSingular: true)
    return TextPrompt(
      head: template.head, block: PasskeyPrompts.block, blocks: (position, lines - position),
      needle: template.needle(key, value) + "\n", tail: template.question([key]),
      answers: [value], depth: Double(position) / Double(lines))
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
