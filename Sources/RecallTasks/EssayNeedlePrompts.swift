import TensorStorage

/// RULER's needle-in-a-haystack tasks whose haystack is a long text.
///
/// A prompt has the first words of the text, as many as fit; a row to train on begins with any sentence.
struct EssayNeedlePrompts: PromptGenerator {
  /// Which of RULER's tasks; keys are words throughout.
  enum Kind: String, CaseIterable {
    /// S-NIAH-2: one needle with a number.
    case single2 = "niah_single_2"
    /// S-NIAH-3: one needle with a UUID.
    case single3 = "niah_single_3"
    /// MK-NIAH-1: four needles with different keys, of which one is asked for.
    case multikey1 = "niah_multikey_1"
    /// MV-NIAH: one key with four values.
    case multivalue = "niah_multivalue"
    /// MQ-NIAH: four keys, all asked for at once.
    case multiquery = "niah_multiquery"

    /// Keys in the text, where there is one question.
    var keys: Int { self == .multikey1 || self == .multiquery ? 4 : 1 }
    var valuesPerKey: Int { self == .multivalue ? 4 : 1 }
    var keysPerQuestion: Int { self == .multiquery ? 4 : 1 }

    /// Questions that the 40 depths have needles for.
    var mostQuestions: Int { EssayNeedles.depths.count / (valuesPerKey * keysPerQuestion) }

    var template: NeedleTemplate {
      NeedleTemplate(
        values: self == .single3 ? .uuid : .number,
        isSingular: valuesPerKey * keysPerQuestion == 1)
    }
  }

  let kind: Kind
  var haystack = HaystackOption()
  var maximumNewTokens: Int? = 128
  var questions = 1

  var name: String { kind.rawValue }
  var metric: GenerationMetric { .stringMatchAll }
  var spelling: String { haystack.spelling }
  var source: HaystackSource? { haystack.text.source }

  mutating func load() throws(RecallTaskError) { try haystack.load() }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    let count = max(kind.keys, kind.keysPerQuestion * questions)
    let keys = NeedleWord.word.drawDistinct(count, &random)
    let values = kind.template.values.drawDistinct(count * kind.valuesPerKey, &random)
    let needles = EssayNeedles(
      template: kind.template, keys: keys,
      values: keys.indices.map { key in
        Array(values[(key * kind.valuesPerKey)..<((key + 1) * kind.valuesPerKey)])
      }, &random)
    let order = randomOrder(count, &random)
    let asked = (0..<questions).map { question in
      (0..<kind.keysPerQuestion).map { order[question * kind.keysPerQuestion + $0] }
    }
    let first = depth == nil ? haystack.text.anySentence(&random) : 0
    return needles.prompt(haystack.text, from: first, words: size, questions: asked)
  }
}
