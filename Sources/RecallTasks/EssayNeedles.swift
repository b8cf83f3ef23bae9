import TensorStorage

/// Needles among the sentences of a long text, as RULER places them.
///
/// Depths are drawn without replacement from 40 fixed ones; a needle at depth `d` comes before sentence
/// `int(sentences * (d / 100))` of the first `n` words of the text. Pieces are joined by single spaces, those
/// without a sentence too. Agrees with `generate_input_output` of RULER and of lm-evaluation-harness.
struct EssayNeedles {
  /// 40 evenly spaced percents, rounded, half to even.
  static let depths = [
    0, 3, 5, 8, 10, 13, 15, 18, 21, 23, 26, 28, 31, 33, 36, 38, 41, 44, 46, 49, 51, 54, 56, 59, 62,
    64, 67, 69, 72, 74, 77, 79, 82, 85, 87, 90, 92, 95, 97, 100,
  ]

  let template: NeedleTemplate
  let keys: [String]
  /// The values of each key.
  let values: [[String]]

  /// The needles in the order of the text, as (key, number of the value), and the depth of each.
  private let needles: [(key: Int, value: Int)]
  private let chosenDepths: [Int]

  /// Draws an order of all needles, and their depths.
  ///
  /// - Precondition: there are at most 40.
  init(
    template: NeedleTemplate, keys: [String], values: [[String]], _ random: inout CounterRandom
  ) {
    (self.template, self.keys, self.values) = (template, keys, values)
    let all = values.enumerated().flatMap { key, values in values.indices.map { (key, $0) } }
    needles = randomOrder(all.count, &random).map { all[$0] }
    chosenDepths = randomOrder(Self.depths.count, &random).prefix(all.count)
      .map { Self.depths[$0] }.sorted()
  }

  /// The prompt among some words of a text.
  ///
  /// - Parameters:
  ///   - haystack: the text.
  ///   - firstSentence: with which of its sentences to begin.
  ///   - words: how many of its words to take.
  ///   - questions: the keys that each question asks for.
  /// - Returns: the prompt, which asks the first question.
  func prompt(
    _ haystack: Haystack, from firstSentence: Int, words: Int, questions: [[Int]]
  ) -> TextPrompt {
    let asked = questions.map { keys in
      (question: "\n" + template.question(keys.map { self.keys[$0] }), answers: answers(keys))
    }
    var prompt = TextPrompt(
      head: template.head, needle: context(haystack, from: firstSentence, words: words),
      tail: asked[0].question, answers: asked[0].answers, depth: depth(questions[0]))
    prompt.reply = enumeration(asked[0].answers)
    // The line break that the context ends with stands before later questions already.
    prompt.further = asked.dropFirst().map {
      (question: String($0.question.dropFirst()), answer: enumeration($0.answers))
    }
    return prompt
  }

  private func context(_ haystack: Haystack, from firstSentence: Int, words: Int) -> String {
    let start = haystack.word(ofSentence: firstSentence)
    let sentences = haystack.sentenceCount(before: start + words) - firstSentence
    var pieces: [String] = []
    var last = start
    for (needle, depth) in zip(needles, chosenDepths) {
      let position = Int(Double(sentences) * (Double(depth) / 100))
      let next =
        position < sentences
        ? haystack.word(ofSentence: firstSentence + position) : start + words
      pieces.append(haystack.words(last..<next))
      pieces.append(template.needle(keys[needle.key], values[needle.key][needle.value]))
      last = next
    }
    return (pieces + [haystack.words(last..<(start + words))]).joined(separator: " ")
  }

  /// The values of some keys, key by key, each in the order of the text.
  private func answers(_ asked: [Int]) -> [String] {
    asked.flatMap { key in
      needles.filter { $0.key == key }.map { values[key][$0.value] }
    }
  }

  /// The depth of the only needle that is asked for; nil for several.
  private func depth(_ asked: [Int]) -> Double? {
    let wanted = needles.indices.filter { asked.contains(needles[$0].key) }
    return wanted.count == 1 ? Double(chosenDepths[wanted[0]]) / 100 : nil
  }
}
