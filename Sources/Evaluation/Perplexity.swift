import ErrorReporting
import LanguageModels
import TokenData

/// The mean negative log likelihood of stored text.
///
/// The tokens of a Megatron file are cut into samples of `T + 1` tokens at stride `T`; each starts
/// from a zero state, and every token but the very first is predicted once. What is left over at the
/// end, fewer than `T` tokens, is not measured.
public struct Perplexity {
  /// What was measured.
  public struct Result: Sendable, Equatable {
    /// Sum of all tokens' nats.
    public var sum = 0.0
    /// Tokens predicted.
    public var tokens = 0
    /// Nats of each token of the first sequence that was measured; empty unless asked for.
    public var tokenNLL: [Float] = []

    /// Nothing measured yet.
    public init() {}

    /// Mean nats a token.
    public var nll: Double { sum / Double(tokens) }
  }

  /// Sequences that will be measured.
  public let sequenceCount: Int

  private let prefix: String
  private let source: TokenFileSource
  private let evaluated: EvaluatedModel

  /// Opens the text.
  ///
  /// - Parameters:
  ///   - prefix: of the Megatron pair `prefix.bin` and `prefix.idx`.
  ///   - sequenceLength: `T`.
  ///   - limit: at most this many sequences, from the first on; nil for all.
  ///   - model: what is measured.
  /// - Throws: `TokenDataError` when the files cannot be read, hold less than `T + 1` tokens, or a token
  ///   that is measured is outside the model's vocabulary.
  /// - Precondition: `sequenceLength` and `limit` are at least 1.
  public init(
    prefix: String, sequenceLength: Int, limit: Int? = nil, of model: EvaluatedModel
  ) throws(TokenDataError) {
    require(
      sequenceLength >= 1 && limit ?? 1 >= 1,
      "perplexity of \(limit ?? 1) sequences of \(sequenceLength) tokens")
    (source, sequenceCount) = try Self.open(
      prefix: prefix, sequenceLength: sequenceLength, limit: limit,
      vocabulary: model.model.vocabulary)
    self.prefix = prefix
    evaluated = model
  }

  /// Measures some of the sequences; sums and counts of several ranges may be added.
  ///
  /// - Parameters:
  ///   - range: which sequences, below `sequenceCount`; all if nil.
  ///   - perToken: whether to keep the first sequence's nats.
  /// - Returns: sum, count, and nats a token if asked for.
  /// - Throws: `TokenDataError` when a token is outside the model's vocabulary,
  ///   `EvaluationError.notFinite` for a loss that is no number.
  public func measure(_ range: Range<Int>? = nil, perToken: Bool = false) throws -> Result {
    let range = range ?? 0..<sequenceCount
    var result = Result()
    try evaluated.forEachBatch(of: range, from: source) { batch, pass, first in
      guard let samples = batch.sequenceSamples else { return }
      result.sum += pass.loss(of: samples, parameters: evaluated.parameters.pointer) {
        (_, count, nll) in
        guard perToken && first == range.lowerBound else { return }
        result.tokenNLL += UnsafeBufferPointer(start: nll, count: count)
      }
      guard result.sum.isFinite else {
        throw EvaluationError.notFinite(what: "the loss of sequence \(first) of \(prefix)")
      }
      result.tokens += batch.sampleCount * batch.sequenceLength
    }
    return result
  }
}
