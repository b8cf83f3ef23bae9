import ErrorReporting
import Foundation
import JSON
import LanguageModels
import RecallTasks
import TokenData

/// The mean negative log likelihood of stored text.
///
/// The tokens of a Megatron file are cut into samples of `T + 1` tokens at stride `T`; each starts
/// from a zero state, and every token but the very first is predicted once. What is left over at the
/// end, fewer than `T` tokens, is not measured.
public struct Perplexity {
  /// Sequences that will be measured.
  public let sequenceCount: Int

  private let name: String
  private let source: TokenFileSource
  private let evaluated: EvaluatedModel
  private let tokenizer: (any Tokenizer)?

  /// Opens the text.
  ///
  /// - Parameters:
  ///   - text: which token files, and which of their documents.
  ///   - sequenceLength: `T`.
  ///   - limit: at most this many sequences, from the first on; nil for all.
  ///   - model: what is measured.
  ///   - tokenizer: what the text was written with, to count its bytes; nil counts none.
  /// - Throws: `TokenDataError` when the files cannot be read, hold less than `T + 1` tokens, or a token
  ///   that is measured is outside the model's vocabulary.
  /// - Precondition: `sequenceLength` and `limit` are at least 1.
  public init(
    _ text: TokenSelection, sequenceLength: Int, limit: Int? = nil, of model: EvaluatedModel,
    tokenizer: (any Tokenizer)? = nil
  ) throws(TokenDataError) {
    require(
      sequenceLength >= 1 && limit ?? 1 >= 1,
      "perplexity of \(limit ?? 1) sequences of \(sequenceLength) tokens")
    (source, sequenceCount) = try Self.open(
      text, sequenceLength: sequenceLength, limit: limit,
      vocabulary: model.model.vocabulary)
    name = text.names.joined(separator: ", ")
    self.tokenizer = tokenizer
    evaluated = model
  }

  /// Measures all sequences.
  ///
  /// - Parameter perToken: whether to keep the first sequence's nats.
  /// - Returns: what each sequence gave.
  /// - Throws: `EvaluationError.notFinite` for a loss that is no number, `.interrupted`.
  public func measure(perToken: Bool = false) throws -> Result {
    let batches = SampleBatches(evaluated, source)
    let records = try evaluated.records(
      "perplexity", length: source.sequenceLength, units: batches.units(of: sequenceCount)
    ) { unit in
      try batches.run(unit) { batch, pass in
        try losses(batch, pass, first: unit.lowerBound, perToken: perToken)
      }
    }
    return Result(records, sequenceLength: source.sequenceLength)
  }

  private func losses(
    _ batch: SampleBatch, _ pass: SequencePass, first: Int, perToken: Bool
  ) throws -> [SampleRecord] {
    guard let samples = batch.sequenceSamples else { return [] }
    let bins = PositionBins(length: source.sequenceLength)
    var records = (0..<batch.sampleCount).map { SampleRecord(id: .integer(first + $0)) }
    var sums = [Double](repeating: 0, count: batch.sampleCount)
    for index in records.indices {
      records[index].binNLL = [Double](repeating: 0, count: bins.count)
    }
    _ = pass.loss(of: samples, parameters: evaluated.parameters.pointer) { start, count, nll in
      for index in records.indices {
        for position in 0..<count {
          let nats = Double(nll[index * count + position])
          sums[index] += nats
          records[index].binNLL[bins.bin(of: start + position)] += nats
        }
      }
      guard perToken && first == 0 else { return }
      records[0].tokenNLL += UnsafeBufferPointer(start: nll, count: count)
    }
    for index in records.indices {
      guard sums[index].isFinite || pass.isGivenUp else {
        throw EvaluationError.notFinite(
          what: "the loss of sequence \(first + index) of \(name)")
      }
      records[index].scores = [SampleRecord.Score("nll", sums[index])]
      if let bytes = bytes(of: batch[index]) {
        records[index].scores.append(SampleRecord.Score("bytes", Double(bytes)))
      }
    }
    return records
  }

  /// UTF-8 bytes of the text that a sample's targets are.
  ///
  /// Decoded together with the token before, which decides about a space between them.
  private func bytes(of sample: SampleBuffer) -> Int? {
    guard let tokenizer else { return nil }
    let first = [sample.inputs[0]]
    let all = first + (0..<sample.sequenceLength).map { sample.targets[$0] }
    return tokenizer.decode(all).utf8.count - tokenizer.decode(first).utf8.count
  }
}

/// Stretches of a sequence by the number of tokens before: 1, 2, then twice as many each.
///
/// Bin 0 is position 0, bin `k` positions `2^(k-1) ..< 2^k`.
struct PositionBins {
  let length: Int

  var count: Int { bin(of: length - 1) + 1 }

  func bin(of position: Int) -> Int { Int.bitWidth - position.leadingZeroBitCount }

  subscript(bin: Int) -> Range<Int> {
    bin == 0 ? 0..<1 : (1 << (bin - 1))..<min(1 << bin, length)
  }
}

extension Perplexity {
  /// What was measured.
  public struct Result: Sendable, Equatable {
    /// Tokens of a sequence.
    public let sequenceLength: Int
    /// Nats of each sequence.
    public let sequenceNLL: [Double]
    /// UTF-8 bytes of each sequence; empty without a tokenizer.
    public let sequenceBytes: [Double]
    /// Nats of each sequence by `PositionBins`.
    let bins: [[Double]]
    /// Nats of each token of the first sequence; empty unless asked for.
    public let tokenNLL: [Float]

    /// Puts together what the sequences gave.
    public init(_ records: [SampleRecord], sequenceLength: Int) {
      self.sequenceLength = sequenceLength
      sequenceNLL = records.map { $0.score("nll") ?? .nan }
      sequenceBytes = records.compactMap { $0.score("bytes") }
      bins = records.map(\.binNLL)
      tokenNLL = records.first?.tokenNLL ?? []
    }

    /// Tokens predicted.
    public var tokens: Int { sequenceNLL.count * sequenceLength }

    /// Sum of all tokens' nats, added sequence by sequence.
    public var sum: Double { sequenceNLL.reduce(0, +) }

    /// Mean nats a token.
    public var nll: Double { sum / Double(tokens) }

    /// The standard error of `nll`: sequences are the independent samples, not tokens.
    public var standardError: Double {
      ScoreSummary(sequenceNLL.map { $0 / Double(sequenceLength) }).standardError
    }

    /// Bits a UTF-8 byte of the text, and the standard error of that ratio; nil without bytes.
    ///
    /// `R = sum(nats) / (ln 2 sum(bytes))`; the error is that of a ratio of means, from the
    /// residuals `nats_i / ln 2 - R bytes_i`.
    public var bitsPerByte: (value: Double, standardError: Double)? {
      let bytes = sequenceBytes.reduce(0, +)
      guard sequenceBytes.count == sequenceNLL.count, bytes > 0 else { return nil }
      let bits = sequenceNLL.map { $0 / M_LN2 }
      let ratio = bits.reduce(0, +) / bytes
      let residuals = zip(bits, sequenceBytes).map { $0 - ratio * $1 }
      let mean = bytes / Double(sequenceBytes.count)
      return (ratio, ScoreSummary(residuals).standardError / mean)
    }

    /// Mean nats a token by position, with the standard error over sequences.
    public var positions: [(range: Range<Int>, nll: ScoreSummary)] {
      guard let count = bins.first?.count, count > 0 else { return [] }
      let edges = PositionBins(length: sequenceLength)
      return (0..<count).map { bin in
        let range = edges[bin]
        return (range, ScoreSummary(bins.map { $0[bin] / Double(range.count) }))
      }
    }
  }
}
