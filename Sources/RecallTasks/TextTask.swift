import ErrorReporting
import TensorStorage
import TokenData

/// One question put to a model that generates text.
public struct GenerationItem: Sendable {
  /// The prompt as text.
  public let prompt: String

  /// The prompt's ids, special ids included.
  public let promptTokens: [Int32]

  /// The ids that follow the prompt's when the answer is given after a space, as in training.
  public let answerTokens: [Int32]

  /// The reference answers.
  public let answers: [String]

  /// How many tokens to generate at most.
  public let maximumNewTokens: Int

  /// Where the needle lies, between 0 and 1; nil where the task has none.
  public let depth: Double?
}

/// A recall task on text: questions for evaluation, and rows to train on.
///
/// A prompt is as long as fits, by the exact count of the joined text's tokens. For evaluation
/// `prompt + maximumNewTokens <= T`; for training `prompt + answer <= T`, the answer's tokens are
/// the only targets that count, and the rest of the row is padding with weight 0. A row to train on
/// may ask several questions, each after the answer to the one before. Writing a row calls the
/// tokenizer, which allocates.
public final class TextTask: SampleSource {
  /// Positions in a sample, `T`.
  public let sequenceLength: Int

  /// Nil: the samples never end.
  public var sampleCount: Int? { nil }

  /// All token ids written are below this number.
  public var requiredVocabulary: Int { encoder.tokenizer.vocabularySize }

  /// The task's name, for example `passkey`.
  public var name: String { generator.name }

  /// How predictions are scored.
  public var metric: GenerationMetric { generator.metric }

  /// The long text that prompts are made of; nil for tasks without one.
  public var haystack: HaystackSource? { generator.source }

  private let generator: any PromptGenerator
  private let encoder: PromptEncoder
  private let randomness: TaskRandomness
  private let compatibleSize: Int?
  /// Questions of a prompt: several only in training.
  private let questions: Int

  /// What has to fit in the sequence beside the prompt.
  private enum Reserve {
    case answer
    case generation
  }

  /// Prepares the task and checks that its shortest prompt fits.
  ///
  /// - Throws: `RecallTaskError.doesNotFit`, or about a file that an option names.
  init(
    generator: any PromptGenerator, sequenceLength: Int, seed: UInt64, stream: SampleStream,
    tokenizer: any Tokenizer
  ) throws(RecallTaskError) {
    var generator = generator
    try generator.load()
    self.generator = generator
    self.sequenceLength = sequenceLength
    encoder = PromptEncoder(tokenizer: tokenizer)
    questions = stream == .training ? generator.questions : 1
    randomness = TaskRandomness(
      seed: seed, task: generator.name, options: "length=\(sequenceLength) " + generator.spelling,
      stream: stream)
    compatibleSize = generator.compatibleSize(sequenceLength: sequenceLength, tokenizer: tokenizer)
    try checkShortestPrompts(stream == .training ? .answer : .generation)
  }

  /// Checks that every shortest prompt fits.
  ///
  /// Prompts differ by a few tokens. Some are looked at, and the sequence needs room for one that is longer
  /// than the longest of them by as much as they differ among themselves.
  private func checkShortestPrompts(_ reserve: Reserve) throws(RecallTaskError) {
    for size in generator.fixedSizes.isEmpty ? [1] : generator.fixedSizes {
      let counts = (0..<16).map { index in
        tokens(prompt(size: size, randomness.generator(index), 0.5), reserve)
      }
      let (least, most) = (counts.min() ?? 0, counts.max() ?? 0)
      guard 2 * most - least <= sequenceLength else {
        throw .doesNotFit(task: name, needed: 2 * most - least, sequenceLength: sequenceLength)
      }
    }
  }

  private func prompt(size: Int, _ random: CounterRandom, _ depth: Double?) -> TextPrompt {
    generator.prompt(size: size, random: random, depth: depth, questions: questions)
  }

  private func checkFit(_ prompt: TextPrompt, _ reserve: Reserve) throws(RecallTaskError) {
    let needed = tokens(prompt, reserve)
    guard needed <= sequenceLength else {
      throw .doesNotFit(task: name, needed: needed, sequenceLength: sequenceLength)
    }
  }

  /// Tokens that the prompt and what comes after it take.
  private func tokens(_ prompt: TextPrompt, _ reserve: Reserve) -> Int {
    switch reserve {
    case .answer: encoder.count(prompt, questions: prompt.questionCount, answered: true)
    case .generation:
      encoder.count(prompt, questions: 1, answered: false) + newTokens(prompt)
    }
  }

  private func newTokens(_ prompt: TextPrompt) -> Int {
    if let fixed = generator.maximumNewTokens { return fixed }
    let answers = prompt.answers.map { encoder.tokenizer.encode(" " + $0, addSpecial: false).count }
    return max((answers.max() ?? 0) + 4, 8)
  }

  /// The largest prompt that fits.
  private func filled(
    _ random: CounterRandom, depth: Double?, _ reserve: Reserve
  ) throws(RecallTaskError) -> TextPrompt {
    let least = try least(random, depth: depth, reserve)
    guard compatibleSize == nil, generator.fixedSizes.isEmpty else { return least }
    let size = largestSize(within: sequenceLength) { size in
      tokens(prompt(size: size, random, depth), reserve)
    }
    return prompt(size: size, random, depth)
  }

  /// The shortest prompt, or the only one where its size is fixed.
  ///
  /// - Throws: `RecallTaskError.doesNotFit`; what another program generates after a prompt as long as its own
  ///   need not fit.
  private func least(
    _ random: CounterRandom, depth: Double?, _ reserve: Reserve
  ) throws(RecallTaskError) -> TextPrompt {
    var (drawn, size) = (random, compatibleSize ?? 1)
    let sizes = generator.fixedSizes
    if compatibleSize == nil, let only = sizes.first {
      size = sizes.count == 1 ? only : sizes[drawn.below(sizes.count)]
    }
    let prompt = prompt(size: size, drawn, depth)
    if compatibleSize == nil || reserve == .answer { try checkFit(prompt, reserve) }
    return prompt
  }

  /// Checks that each of `count` questions fits.
  ///
  /// - Throws: `RecallTaskError.doesNotFit`.
  public func checkQuestions(_ count: Int) throws(RecallTaskError) {
    for index in 0..<count {
      _ = try least(
        randomness.generator(UInt64(index)), depth: Self.depth(index, of: count), .generation)
    }
  }

  /// Checks that each of the first `count` rows fits.
  ///
  /// - Throws: `RecallTaskError.doesNotFit`.
  public func checkRows(_ count: Int) throws(RecallTaskError) {
    for index in 0..<count {
      _ = try least(randomness.generator(UInt64(index)), depth: nil, .answer)
    }
  }

  /// Where needles of question `index` of `count` lie.
  private static func depth(_ index: Int, of count: Int) -> Double {
    (Double(index) + 0.5) / Double(max(count, 1))
  }

  /// Question `index` of `count`.
  ///
  /// - Parameters:
  ///   - index: which question.
  ///   - count: how many questions there are; needles are spread over the depths `(i+0.5)/n`.
  /// - Returns: the question, a pure function of the task and the two numbers.
  /// - Throws: `RecallTaskError.doesNotFit`.
  public func item(_ index: Int, of count: Int) throws(RecallTaskError) -> GenerationItem {
    let prompt = try filled(
      randomness.generator(UInt64(index)), depth: Self.depth(index, of: count), .generation)
    let question = encoder.encode(prompt, questions: 1, answered: false)
    let whole = encoder.encode(prompt, questions: 1, answered: true)
    return GenerationItem(
      prompt: prompt.text, promptTokens: question,
      answerTokens: Array(whole.dropFirst(question.count)), answers: prompt.answers,
      maximumNewTokens: newTokens(prompt), depth: prompt.depth)
  }

  /// Overwrites `buffer` with sample `index`.
  public func write(sample index: UInt64, into buffer: SampleBuffer) throws(RecallTaskError) {
    require(
      buffer.sequenceLength == sequenceLength,
      "\(buffer.sequenceLength) tokens, not \(sequenceLength)")
    let prompt = try filled(randomness.generator(index), depth: nil, .answer)
    buffer.clear()
    let row = encoder.encode(prompt, questions: prompt.questionCount, answered: true)
    for (position, token) in row.enumerated() { buffer.place(token, at: position, weight: 0) }
    for question in 1...prompt.questionCount {
      let isLast = question == prompt.questionCount
      let start = encoder.count(prompt, questions: question, answered: false)
      let end =
        isLast ? row.count : encoder.count(prompt, questions: question, answered: true)
      for position in start..<max(min(end, row.count), start) { buffer.weights[position - 1] = 1 }
    }
  }
}

/// The largest `n >= 1` with `count(n) <= limit`, given that `count(1) <= limit`.
///
/// `count` grows nearly linearly with `n`; a few evaluations suffice. Where it is not monotone, the
/// result fits and its successor does not.
func largestSize(within limit: Int, count: (Int) -> Int) -> Int {
  let small = count(4)
  if small > limit { return (1...3).last { count($0) <= limit } ?? 1 }
  var low = 4
  var lowCount = small
  let slope = max(Double(count(12) - small) / 8, 0.125)
  var high: Int?
  var guess = low + max(Int(Double(limit - lowCount) / slope), 1)
  while true {
    let tokens = count(guess)
    if tokens <= limit {
      low = guess
      lowCount = tokens
    } else {
      high = guess
    }
    if let high, high - low <= 1 { return low }
    let step = max(Int(Double(limit - lowCount) / slope), 1)
    guess = low + step
    if let high, guess >= high { guess = step > 8 ? (low + high) / 2 : high - 1 }
  }
}
