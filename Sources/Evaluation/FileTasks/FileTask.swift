import Fields

/// A task in a directory.
///
/// `task.json` says how it is measured, `data.jsonl` (or `data.jsonl.zst`) holds a
/// sample a line. The format is described in `docs/tasks.md`.
public struct FileTask: Sendable {
  /// How the model is driven.
  enum Kind: String, CaseIterable, Sendable {
    case multipleChoice = "multiple_choice"
    case generate
    case likelihood = "loglikelihood"
    case rolling
    case tokenRecall = "token_recall"
  }

  /// What has to be done with texts before they are compared.
  package struct Match: Equatable, Sendable {
    /// `ignore_case`.
    package var ignoresCase = false
    /// `ignore_punctuation`: ASCII's.
    package var ignoresPunctuation = false
    /// `strip`: white space at both ends.
    package var strips = false
    /// `first_line`: nothing after the first line feed.
    package var isFirstLine = false
    /// `strip_control`: control characters are line feeds.
    package var stripsControls = false

    /// Texts as they are.
    package init() {}
  }

  /// How texts are generated.
  struct Generation: Equatable, Sendable {
    /// Tokens at most; nil for the longest answer's and 4 more, at least 8.
    var maximumNewTokens: Int?
    /// Texts that end the generated one.
    var stops: [String] = []
  }

  /// Samples with their answers that come before each sample.
  struct FewShot: Equatable, Sendable {
    enum Sampler: String, CaseIterable { case random, first }

    let count: Int
    let seed: Int
    let delimiter: String
    let sampler: Sampler
    /// Where they are; nil for the task's own samples, the one that is asked left out.
    let file: String?
  }

  /// What is done with long prompts.
  struct Truncation: Equatable, Sendable {
    enum Mode: String, CaseIterable {
      case none, left
      case answerCentered = "answer_centered"
    }

    var mode = Mode.none
    /// Tokens of a sample, everything included; nil: any number.
    var contextTokens: Int?
    /// Tokens that are kept free, beside those that are generated or scored.
    var reserve = 0
  }

  /// The name in the report.
  public var name: String
  /// Where its samples come from.
  public let source: String?
  /// Under what terms.
  public let license: String?
  /// Identifies the files: the XXH64 of all of them, as hexadecimal digits.
  public let fingerprint: String

  let kind: Kind
  let metrics: [FileTaskMetric]
  let match: Match
  let generation: Generation
  let delimiter: String
  /// Whether likelihoods are compared by their mean a token.
  let comparesMeans: Bool
  let fewShot: FewShot?
  let truncation: Truncation
  /// Whether the tokenizer's template is put around texts.
  let addsSpecial: Bool
  let groups: [String]
  var samples: [FileTaskSample]
  let examples: [FileTaskSample]

  /// Whether texts are tokenized.
  public var needsTokenizer: Bool { kind != .tokenRecall }

  /// Samples to measure.
  public var sampleCount: Int { samples.count }

  /// Whether only its first samples are measured.
  var isPartial = false

  /// What identifies the task's samples and scores.
  public var identity: String { fingerprint + (isPartial ? ", the first \(sampleCount)" : "") }
}

/// What is counted.
package enum FileTaskMetric: String, CaseIterable, Sendable {
  case accuracy = "acc"
  case normalizedAccuracy = "acc_norm"
  case byteAccuracy = "acc_bytes"
  case macroF1 = "macro_f1"
  case contains
  case stringMatchAll = "string_match_all"
  case exactMatch = "exact_match"
  case greedyMatch = "greedy_match"
  case perplexity
  case wordPerplexity = "word_perplexity"
  case bytePerplexity = "byte_perplexity"
  case bitsPerByte = "bits_per_byte"
  case tokenAccuracy = "token_accuracy"

  /// The metrics of a kind of task.
  static func all(of kind: FileTask.Kind) -> [FileTaskMetric] {
    switch kind {
    case .multipleChoice: [.accuracy, .normalizedAccuracy, .byteAccuracy, .macroF1]
    case .generate: [.contains, .stringMatchAll, .exactMatch]
    case .likelihood: [.greedyMatch, .perplexity, .bitsPerByte]
    case .rolling: [.bitsPerByte, .bytePerplexity, .wordPerplexity]
    case .tokenRecall: [.tokenAccuracy]
    }
  }
}

/// One line of a task's data.
struct FileTaskSample: Sendable {
  /// What is asked.
  enum Question: Sendable {
    /// One context, several continuations.
    case choices(context: String, [String])
    /// A context for each choice, one continuation.
    case contexts([String], continuation: String)
    /// A text that is continued.
    case generate(context: String, prefix: String)
    /// A text whose continuation is scored.
    case likelihood(context: String, target: String)
    /// A whole text.
    case rolling(String)
    /// Tokens, and those that should be predicted at them; -100 where none.
    case tokens([Int32], labels: [Int32])
  }

  let id: FileTaskID
  let question: Question
  /// The right choices' numbers.
  let gold: [Int]
  /// The right texts.
  let answers: [String]
  /// Values of the fields that samples are grouped by.
  let groups: [String]
  /// Where it stands.
  let place: FieldPlace

  /// The text before an answer, of the first choice where each has its own.
  var context: String {
    switch question {
    case .choices(let context, _), .likelihood(let context, _): context
    case .contexts(let contexts, _): contexts.first ?? ""
    case .generate(let context, let prefix): context + prefix
    case .rolling, .tokens: ""
    }
  }

  /// The text after the delimiter in an example.
  var exampleAnswer: String {
    switch question {
    case .choices(_, let choices): gold.first.map { choices[$0] } ?? ""
    case .contexts(_, let continuation): continuation
    case .generate: answers.first ?? ""
    case .likelihood(_, let target): target
    case .rolling, .tokens: ""
    }
  }

  /// The sample as an example for others: the right context, the delimiter and the answer.
  func example(delimiter: String) -> String {
    let text: String =
      if case .contexts(let contexts, _) = question, let right = gold.first {
        contexts[right]
      } else {
        context
      }
    return text + delimiter + exampleAnswer
  }
}

/// A sample's identity: a text or an integer.
enum FileTaskID: Hashable, Sendable {
  case text(String)
  case number(Int)
}
