import TensorStorage
import TokenData

/// A prompt around needles: a head, then stretches of a repeated block, each with the text after it, the
/// last of which ends with a question.
struct TextPrompt {
  /// A repeated block, and what follows it.
  struct Stretch {
    var blocks: Int
    var text: String
  }

  var head: String
  var block = ""
  var stretches: [Stretch]

  /// What should be generated after the prompt and a space, in any order.
  var answers: [String]

  /// The answer as a row to train on gives it after a space; by default the first of `answers`.
  var reply: String

  /// Questions that follow the answer in a row to train on, with their answers.
  var further: [(question: String, answer: String)] = []

  /// Where the needle lies: 0 at the start of the context, 1 at its end.
  var depth: Double?

  /// Questions altogether.
  var questionCount: Int { 1 + further.count }

  /// A prompt around one needle, with `blocks` before and after it.
  init(
    head: String, block: String = "", blocks: (before: Int, after: Int) = (0, 0), needle: String,
    tail: String, answers: [String], depth: Double?
  ) {
    self.head = head
    self.block = block
    stretches = [
      Stretch(blocks: blocks.before, text: needle), Stretch(blocks: blocks.after, text: tail),
    ]
    self.answers = answers
    reply = answers.first ?? ""
    self.depth = depth
  }

  /// A prompt of those stretches.
  init(
    head: String, block: String, stretches: [Stretch], answers: [String],
    further: [(question: String, answer: String)]
  ) {
    self.head = head
    self.block = block
    self.stretches = stretches
    self.answers = answers
    reply = answers.first ?? ""
    self.further = further
  }

  /// The whole prompt: the context and the first question.
  var text: String { text(blocks: stretches.map(\.blocks), questions: 1, answered: false) }

  /// The prompt with other numbers of blocks and the first `questions` questions, all but the last with
  /// their answers, and that too if `answered`.
  func text(blocks: [Int], questions: Int, answered: Bool) -> String {
    var result = head
    for (stretch, count) in zip(stretches, blocks) {
      result += String(repeating: block, count: count) + stretch.text
    }
    var answer = reply
    for (question, next) in further.prefix(questions - 1) {
      result += " " + answer + "\n" + question
      answer = next
    }
    return answered ? result + " " + answer : result
  }
}

/// A family of prompts of growing size.
protocol PromptGenerator: Sendable {
  /// The task's name.
  var name: String { get }

  /// How predictions are scored.
  var metric: GenerationMetric { get }

  /// Tokens to generate; nil means the answer's tokens plus 4, 8 at least.
  var maximumNewTokens: Int? { get }

  /// The only sizes there are, one of which is drawn for a prompt; none when prompts grow to fill the
  /// sequence.
  var fixedSizes: [Int] { get }

  /// Questions of a row to train on.
  var questions: Int { get }

  /// Everything that shapes a prompt but its size and the number of questions; part of the random
  /// numbers' key.
  var spelling: String { get }

  /// The share of right answers of a model that guesses; nil where nothing is right by chance.
  var chance: Double? { get }

  /// The long text that prompts are made of, or nil.
  var source: HaystackSource? { get }

  /// Reads the files that the options name, once, before the first prompt.
  mutating func load() throws(RecallTaskError)

  /// The prompt of that size: 1 or more where prompts grow, else one of `fixedSizes`.
  ///
  /// What does not depend on the size is drawn first, so that prompts of neighbouring sizes are
  /// alike. `random` is passed by value: every size sees the same numbers.
  ///
  /// - Parameters:
  ///   - size: blocks, lines or entries in the prompt.
  ///   - random: where to draw from.
  ///   - depth: where to put the needle; nil draws its place uniformly.
  ///   - questions: how many to ask at most, one after the other; the first prompt of several questions
  ///     need not be that of one.
  /// - Returns: a pure function of the arguments.
  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt

  /// The size to use whatever the exact count says, for agreement with other programs; else nil.
  func compatibleSize(sequenceLength: Int, tokenizer: any Tokenizer) -> Int?
}

extension PromptGenerator {
  var fixedSizes: [Int] { [] }
  var chance: Double? { nil }
  var source: HaystackSource? { nil }
  mutating func load() throws(RecallTaskError) {}
  func compatibleSize(sequenceLength: Int, tokenizer: any Tokenizer) -> Int? { nil }
}

/// Encodes long repetitive prompts by encoding short ones and repeating the block's tokens.
///
/// This gives exactly `tokenizer.encode(prompt.text)` where one more block inserts the same tokens
/// wherever it is inserted, which is checked on the short texts of every prompt; where the check
/// fails, the whole text is encoded.
struct PromptEncoder {
  let tokenizer: any Tokenizer

  /// Tokens of a prompt as pieces: plain ones and, between them, repeated ones.
  private struct Spliced {
    var plain: [ArraySlice<Int32>]
    var repeated: [(tokens: ArraySlice<Int32>, times: Int)]

    var count: Int {
      plain.reduce(0) { $0 + $1.count } + repeated.reduce(0) { $0 + $1.tokens.count * $1.times }
    }

    var tokens: [Int32] {
      var result: [Int32] = []
      result.reserveCapacity(count)
      for (piece, block) in zip(plain, repeated) {
        result += piece
        for _ in 0..<block.times { result += block.tokens }
      }
      return result + (plain.last ?? [])
    }
  }

  /// The ids of the prompt with its first `questions` questions, the last answered when `answered`.
  func encode(_ prompt: TextPrompt, questions: Int, answered: Bool) -> [Int32] {
    splice(prompt, questions, answered)?.tokens ?? encodeWhole(prompt, questions, answered)
  }

  /// `encode(prompt, questions:answered:).count`, without building the ids.
  func count(_ prompt: TextPrompt, questions: Int, answered: Bool) -> Int {
    splice(prompt, questions, answered)?.count ?? encodeWhole(prompt, questions, answered).count
  }

  private func encodeWhole(
    _ prompt: TextPrompt, _ questions: Int, _ answered: Bool
  ) -> [Int32] {
    let text = prompt.text(
      blocks: prompt.stretches.map(\.blocks), questions: questions, answered: answered)
    return tokenizer.encode(text, addSpecial: true)
  }

  private func splice(_ prompt: TextPrompt, _ questions: Int, _ answered: Bool) -> Spliced? {
    let kept = prompt.stretches.map { min($0.blocks, 2) }
    let times = zip(prompt.stretches, kept).map { $0.blocks - $1 }
    guard times.reduce(0, +) > 2 else { return nil }
    func short(_ blocks: [Int]) -> [Int32] {
      tokenizer.encode(
        prompt.text(blocks: blocks, questions: questions, answered: answered), addSpecial: true)
    }
    let base = short(kept)
    var result = Spliced(plain: [], repeated: [])
    var end = 0
    for (index, count) in times.enumerated() where count > 0 {
      var longer = kept
      longer[index] += 1
      guard let block = Self.insertion(base, short(longer)), block.position >= end else {
        return nil
      }
      result.plain.append(base[end..<block.position])
      result.repeated.append((block.tokens, count))
      end = block.position
    }
    result.plain.append(base[end...])
    return result
  }

  /// Where and what was inserted into `base` to give `longer`; nil if it is not one insertion.
  private static func insertion(
    _ base: [Int32], _ longer: [Int32]
  ) -> (position: Int, tokens: ArraySlice<Int32>)? {
    let added = longer.count - base.count
    guard added > 0 else { return nil }
    var position = 0
    while position < base.count, base[position] == longer[position] { position += 1 }
    guard longer[(position + added)...].elementsEqual(base[position...]) else { return nil }
    return (position, longer[position..<(position + added)])
  }
}
