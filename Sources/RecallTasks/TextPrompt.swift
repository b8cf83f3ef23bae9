import TensorStorage

/// A prompt around a needle: `head`, `block` repeated, `needle`, `block` repeated, `tail`.
struct TextPrompt {
  var head: String
  var block = ""
  var blocksBefore = 0
  var needle: String
  var blocksAfter = 0
  var tail: String

  /// What should be generated after the prompt and a space; the first one is trained on.
  var answers: [String]

  /// Where the needle lies: 0 at the start of the context, 1 at its end.
  var depth: Double?

  /// The whole prompt.
  var text: String { text(before: blocksBefore, after: blocksAfter, answered: false) }

  /// The prompt with other numbers of blocks and perhaps the answer.
  func text(before: Int, after: Int, answered: Bool) -> String {
    let answer = answered ? " " + (answers.first ?? "") : ""
    return head + String(repeating: block, count: before) + needle
      + String(repeating: block, count: after) + tail + answer
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

  /// The only size there is, or nil when prompts grow to fill the sequence.
  var fixedSize: Int? { get }

  /// Everything that shapes a prompt but its size; part of the random numbers' key.
  var spelling: String { get }

  /// The prompt of that size (1 or more).
  ///
  /// What does not depend on the size is drawn first, so that prompts of neighbouring sizes are
  /// alike. `random` is passed by value: every size sees the same numbers.
  ///
  /// - Parameters:
  ///   - size: blocks, lines or entries in the prompt.
  ///   - random: where to draw from.
  ///   - depth: where to put the needle; nil draws its place uniformly.
  /// - Returns: a pure function of the arguments.
  func prompt(size: Int, random: CounterRandom, depth: Double?) -> TextPrompt

  /// The size to use whatever the exact count says, for agreement with other programs; else nil.
  func compatibleSize(sequenceLength: Int, tokenizer: any Tokenizer) -> Int?
}

extension PromptGenerator {
  func compatibleSize(sequenceLength: Int, tokenizer: any Tokenizer) -> Int? { nil }
}

/// Encodes long repetitive prompts by encoding short ones and repeating the block's tokens.
///
/// This gives exactly `tokenizer.encode(prompt.text)` where one more block inserts the same tokens
/// wherever it is inserted, which is checked on the short texts of every prompt; where the check
/// fails, the whole text is encoded.
struct PromptEncoder {
  let tokenizer: any Tokenizer

  /// Tokens of a prompt as pieces: `prefix`, `before` repeated, `middle`, `after` repeated, `suffix`.
  private struct Spliced {
    var prefix: ArraySlice<Int32>
    var before: ArraySlice<Int32>
    var middle: ArraySlice<Int32>
    var after: ArraySlice<Int32>
    var suffix: ArraySlice<Int32>
    var repeatsBefore: Int
    var repeatsAfter: Int

    var count: Int {
      prefix.count + before.count * repeatsBefore + middle.count + after.count * repeatsAfter
        + suffix.count
    }

    var tokens: [Int32] {
      var result: [Int32] = []
      result.reserveCapacity(count)
      result += prefix
      for _ in 0..<repeatsBefore { result += before }
      result += middle
      for _ in 0..<repeatsAfter { result += after }
      return result + suffix
    }
  }

  /// The ids of the prompt, with its answer when `answered`.
  func encode(_ prompt: TextPrompt, answered: Bool) -> [Int32] {
    splice(prompt, answered)?.tokens ?? encodeWhole(prompt, answered)
  }

  /// `encode(prompt, answered:).count`, without building the ids.
  func count(_ prompt: TextPrompt, answered: Bool) -> Int {
    splice(prompt, answered)?.count ?? encodeWhole(prompt, answered).count
  }

  private func encodeWhole(_ prompt: TextPrompt, _ answered: Bool) -> [Int32] {
    let text = prompt.text(
      before: prompt.blocksBefore, after: prompt.blocksAfter, answered: answered)
    return tokenizer.encode(text, addSpecial: true)
  }

  private func splice(_ prompt: TextPrompt, _ answered: Bool) -> Spliced? {
    let keptBefore = min(prompt.blocksBefore, 2)
    let keptAfter = min(prompt.blocksAfter, 2)
    let repeatsBefore = prompt.blocksBefore - keptBefore
    let repeatsAfter = prompt.blocksAfter - keptAfter
    guard repeatsBefore + repeatsAfter > 2 else { return nil }
    func short(_ before: Int, _ after: Int) -> [Int32] {
      tokenizer.encode(
        prompt.text(before: before, after: after, answered: answered), addSpecial: true)
    }
    let base = short(keptBefore, keptAfter)
    // A place at which nothing is to be inserted may lie anywhere after or before the other.
    guard
      let first = repeatsBefore == 0
        ? (position: 0, tokens: [][...]) : Self.insertion(base, short(keptBefore + 1, keptAfter)),
      let second = repeatsAfter == 0
        ? (position: base.count, tokens: [][...])
        : Self.insertion(base, short(keptBefore, keptAfter + 1)),
      first.position <= second.position
    else { return nil }
    return Spliced(
      prefix: base[..<first.position], before: first.tokens,
      middle: base[first.position..<second.position], after: second.tokens,
      suffix: base[second.position...], repeatsBefore: repeatsBefore, repeatsAfter: repeatsAfter)
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
