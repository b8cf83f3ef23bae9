import TensorStorage

/// Classification of word lists that can be learned from the prompt only: demonstrations, then an input
/// whose label is asked for.
///
/// Every prompt invents words and gives each a class. An input is a few of them, and its label the class that
/// most of them have, never a tie: a linear classifier on counts of words is always right. All labels are
/// equally likely. Our own task, for the trend over the number of demonstrations.
struct ClassificationPrompts: PromptGenerator {
  /// Labels, in order.
  static let labels = ["A", "B", "C", "D", "E", "F", "G", "H"]

  /// Demonstrations; of several numbers, one is drawn for each prompt.
  ///
  /// Default 16.
  var demonstrations = [16]
  /// Classes.
  ///
  /// Default 2.
  var classes = 2
  /// Words that a prompt invents.
  ///
  /// Default 12.
  var words = 12
  /// Words of an input.
  ///
  /// Default 3.
  var inputLength = 3
  var maximumNewTokens: Int?
  var questions = 1

  var name: String { "classification" }
  var metric: GenerationMetric { .exactMatch }
  var chance: Double? { 1 / Double(classes) }
  var fixedSizes: [Int] { demonstrations }
  var spelling: String {
    "demonstrations=\(demonstrations) classes=\(classes) words=\(words) length=\(inputLength)"
  }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    let words = inventWords(&random)
    var classOf = [Int](repeating: 0, count: words.count)
    for (rank, word) in randomOrder(words.count, &random).enumerated() {
      classOf[word] = rank % classes
    }
    let examples = (0..<(size + questions)).map { _ in
      let label = random.below(classes)
      let input = input(of: label, classOf, &random).map { words[$0] }
      return (
        question: "Input: " + input.joined(separator: " ") + "\nLabel:",
        answer: Self.labels[label]
      )
    }
    let shown = examples.prefix(size).map { $0.question + " " + $0.answer + "\n\n" }
    var prompt = TextPrompt(
      head: "", needle: shown.joined(), tail: examples[size].question,
      answers: [examples[size].answer], depth: nil)
    prompt.further = examples.dropFirst(size + 1).map {
      (question: "\n" + $0.question, answer: $0.answer)
    }
    return prompt
  }

  /// Numbers of words most of which are of the class `label`.
  private func input(
    of label: Int, _ classOf: [Int], _ random: inout CounterRandom
  ) -> [Int] {
    while true {
      let input = (0..<inputLength).map { _ in random.below(words) }
      var counts = [Int](repeating: 0, count: classes)
      for word in input { counts[classOf[word]] += 1 }
      let rivals = counts.indices.filter { $0 != label }.map { counts[$0] }
      if counts[label] > rivals.max() ?? 0 { return input }
    }
  }

  /// Different words of two syllables.
  private func inventWords(_ random: inout CounterRandom) -> [String] {
    let (consonants, vowels) = (Array("bdfgklmnprstvz"), Array("aeiou"))
    var words: [String] = []
    while words.count < self.words {
      let word = String(
        (0..<4).map { letter in
          letter % 2 == 0
            ? consonants[random.below(consonants.count)] : vowels[random.below(vowels.count)]
        })
      if !words.contains(word) { words.append(word) }
    }
    return words
  }
}
