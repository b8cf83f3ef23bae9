import TensorStorage

/// Needles in a long text whose keys differ in a few letters from the key that is asked for.
///
/// Otherwise as RULER's MK-NIAH-1. A model that compares keys loosely finds one of the `near + 1` values
/// at random. Our own task.
struct NearMissPrompts: PromptGenerator {
  var haystack = HaystackOption()
  /// Needles beside the one asked for.
  ///
  /// Default 8.
  var near = 8
  /// Letters in which their keys differ from its key.
  ///
  /// Default 1.
  var distance = 1
  var maximumNewTokens: Int? = 128
  var questions = 1

  var name: String { "niah_near_miss" }
  var metric: GenerationMetric { .stringMatchAll }
  var spelling: String { "near=\(near) distance=\(distance) " + haystack.spelling }
  var source: HaystackSource? { haystack.text.source }

  mutating func load() throws(RecallTaskError) { try haystack.load() }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    var keys = [NeedleWord.word.draw(&random)]
    while keys.count <= near {
      let key = nearMiss(keys[0], &random)
      if !keys.contains(key) { keys.append(key) }
    }
    let values = NeedleWord.number.drawDistinct(keys.count, &random)
    let needles = EssayNeedles(
      template: NeedleTemplate(values: .number, isSingular: true), keys: keys,
      values: values.map { [$0] }, &random)
    let others = randomOrder(near, &random).map { [$0 + 1] }
    let first = depth == nil ? haystack.text.anySentence(&random) : 0
    return needles.prompt(
      haystack.text, from: first, words: size, questions: [[0]] + others.prefix(questions - 1))
  }

  /// The key with other letters in `distance` places.
  private func nearMiss(_ key: String, _ random: inout CounterRandom) -> String {
    var letters = Array(key.utf8)
    let places = letters.indices.filter { letters[$0] != UInt8(ascii: "-") }
    for place in randomOrder(places.count, &random).prefix(distance).map({ places[$0] }) {
      // One of the 25 other letters.
      let other = (Int(letters[place]) - 97 + 1 + random.below(25)) % 26
      letters[place] = UInt8(97 + other)
    }
    return String(decoding: letters, as: UTF8.self)
  }
}
