import ErrorReporting

/// Samples of `T + 1` tokens at stride `T` from a token file: every token is predicted once.
///
/// A prediction across documents, of a document's first token by the last token of the one before, counts
/// in the loss only on request.
public final class TokenFileSource: SampleSource {
  /// Where the tokens come from.
  public let tokens: MegatronTokens

  /// Positions in a sample, `T`.
  public let sequenceLength: Int

  /// All token ids written are below this number.
  public let requiredVocabulary: Int

  /// Samples in one pass over the file.
  public var sampleCount: Int? { samples }

  /// Whether predictions across documents count in the loss.
  public let predictsAcrossDocuments: Bool

  private let samples: Int

  /// Samples of `tokens`.
  ///
  /// - Parameters:
  ///   - tokens: an open data set.
  ///   - sequenceLength: `T`.
  ///   - vocabularySize: the model's; ids are checked against it when they are read.
  ///   - predictsAcrossDocuments: false gives the first token of every document weight 0 as a target.
  /// - Throws: `.invalid` when there are too few tokens for one sample.
  public init(
    _ tokens: MegatronTokens, sequenceLength: Int, vocabularySize: Int,
    predictsAcrossDocuments: Bool = true
  ) throws(TokenDataError) {
    self.tokens = tokens
    self.predictsAcrossDocuments = predictsAcrossDocuments
    self.sequenceLength = sequenceLength
    requiredVocabulary = vocabularySize
    samples = max(tokens.tokenCount - 1, 0) / sequenceLength
    guard samples > 0 else {
      throw .invalid(
        path: tokens.prefix + ".idx", field: "tokens",
        reason: "\(tokens.tokenCount) tokens are too few for one sample of"
          + " \(sequenceLength + 1); use a shorter sequence or more text")
    }
  }

  /// Overwrites `buffer` with sample `index`.
  public func write(sample index: UInt64, into buffer: SampleBuffer) throws(TokenDataError) {
    require(
      index < UInt64(samples) && buffer.sequenceLength == sequenceLength,
      "sample \(index) of \(samples), \(buffer.sequenceLength) of \(sequenceLength) tokens")
    let start = Int(index) * sequenceLength
    try tokens.read(from: start, into: buffer.inputs, vocabularySize: requiredVocabulary)
    try tokens.read(from: start + 1, into: buffer.targets, vocabularySize: requiredVocabulary)
    buffer.weights.update(repeating: 1)
    guard !predictsAcrossDocuments else { return }
    let starts = tokens.documentStarts
    for document in starts.partitioningIndex(where: { $0 > start })..<starts.count {
      let target = starts[document] - start - 1
      if target >= sequenceLength { break }
      buffer.weights[target] = 0
    }
  }

  /// The documents, counted from 0 without empty ones, that sample `index` has tokens of.
  public func documents(ofSample index: UInt64) -> ClosedRange<Int> {
    let (first, starts) = (Int(index) * sequenceLength, tokens.documentStarts)
    func document(of token: Int) -> Int { max(starts.partitioningIndex { $0 > token } - 1, 0) }
    return document(of: first)...document(of: first + sequenceLength)
  }

  /// Counts from the beginnings of the documents in the token file's index.
  public func writeHistory(sample index: UInt64, into history: UnsafeMutableBufferPointer<Int32>) {
    let start = Int(index) * sequenceLength
    let starts = tokens.documentStarts
    var next = starts.partitioningIndex { $0 > start }
    var document = next > 0 ? starts[next - 1] : 0
    for t in history.indices {
      if next < starts.count && starts[next] == start + t {
        document = starts[next]
        next += 1
      }
      history[t] = Int32(clamping: start + t - document)
    }
  }
}
