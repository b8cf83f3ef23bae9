import TensorStorage
import TokenData

/// Passkey retrieval: a five-digit key hidden in repeated sentences (as in `stuffed-mamba`).
struct PasskeyPrompts: PromptGenerator {
  static let prefix =
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it.\n\n"
  static let block =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n"
  static let suffix = "\nWhat is the pass key? The passkey is"

  /// How many blocks a prompt has.
  enum Fill: String, CaseIterable {
    /// As many as fit by the exact count of the joined text's tokens.
    case exact
    /// `(L - |prefix| - |suffix|) div |block|`, each piece encoded by itself, as the original does.
    case stuffedMamba = "stuffed-mamba"
  }

  var fill = Fill.exact
  var maximumNewTokens: Int?
  var questions = 1

  var name: String { "passkey" }
  var metric: GenerationMetric { .contains }
  var spelling: String { "fill=\(fill.rawValue)" }

  func prompt(size: Int, random: CounterRandom, depth: Double?, questions: Int) -> TextPrompt {
    var random = random
    guard questions == 1 else { return Self.prompt(blocks: size, keys: questions, &random) }
    let key = Self.key(&random)
    let place = random.uniform()
    // Truncation never reaches the last block; a place drawn for training does.
    let block = depth.map { Int($0 * Double(size - 1)) } ?? Int(place * Double(size))
    return Self.prompt(key: key, blocks: size, needleBlock: block, depth: depth)
  }

  private static func key(_ random: inout CounterRandom) -> String {
    let digits = String(random.below(100_000))
    return String(repeating: "0", count: 5 - digits.count) + digits
  }

  /// Several numbered keys between `blocks` blocks, asked for in random order.
  private static func prompt(
    blocks: Int, keys count: Int, _ random: inout CounterRandom
  ) -> TextPrompt {
    let keys = (1...count).map { _ in key(&random) }
    let needles = keys.enumerated().map { index, key in
      "The passkey \(index + 1) is \(key). Remember it. \(key) is the passkey \(index + 1).\n"
    }
    let questions = randomOrder(count, &random).map { index in
      (
        question: "\nWhat is the pass key \(index + 1)? The passkey \(index + 1) is",
        answer: keys[index]
      )
    }
    return TextPrompt(
      head: prefix, block: block, scattering: needles, among: blocks, questions: questions, &random)
  }

  /// The prompt with a given key that replaces block `needleBlock` of `blocks`.
  static func prompt(
    key: String, blocks: Int, needleBlock: Int, depth: Double? = nil
  ) -> TextPrompt {
    TextPrompt(
      head: prefix, block: block, blocks: (needleBlock, blocks - 1 - needleBlock),
      needle: "The passkey is \(key). Remember it. \(key) is the passkey.\n", tail: suffix,
      answers: [key],
      depth: depth ?? Double(needleBlock) / Double(max(blocks - 1, 1)))
  }

  func compatibleSize(sequenceLength: Int, tokenizer: any Tokenizer) -> Int? {
    guard fill == .stuffedMamba else { return nil }
    func count(_ text: String) -> Int { tokenizer.encode(text, addSpecial: true).count }
    return max(
      (sequenceLength - count(Self.prefix) - count(Self.suffix)) / max(count(Self.block), 1), 1)
  }
}

/// The passkey prompt for a given key and depth, with the number of blocks the original would use.
///
/// - Parameters:
///   - sequenceLength: nominal length in tokens.
///   - key: five digits.
///   - depth: between 0 and 1.
///   - tokenizer: what counts the tokens.
/// - Returns: the prompt's text.
public func stuffedMambaPasskeyPrompt(
  sequenceLength: Int, key: String, depth: Double, tokenizer: any Tokenizer
) -> String {
  let generator = PasskeyPrompts(fill: .stuffedMamba)
  let blocks =
    generator.compatibleSize(sequenceLength: sequenceLength, tokenizer: tokenizer) ?? 1
  return PasskeyPrompts.prompt(
    key: key, blocks: blocks, needleBlock: Int(depth * Double(blocks - 1))
  ).text
}
