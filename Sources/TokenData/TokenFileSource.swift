import ErrorReporting

/// Samples of `T + 1` tokens at stride `T` from token files: every token of a file is predicted once.
///
/// Files follow each other; a sample never spans two. A prediction across documents, of a document's first
/// token by the last token of the one before, counts in the loss only on request.
public final class TokenFileSource: SampleSource {
  /// Where the tokens come from.
  public let files: [MegatronTokens]

  /// Positions in a sample, `T`.
  public let sequenceLength: Int

  /// All token ids written are below this number.
  public let requiredVocabulary: Int

  /// Samples in one pass over the files.
  public var sampleCount: Int? { firstSamples[files.count] }

  /// Whether predictions across documents count in the loss.
  public let predictsAcrossDocuments: Bool

  /// The samples before each file, and all of them.
  private let firstSamples: [Int]

  /// Samples of `files`.
  ///
  /// - Parameters:
  ///   - files: open data sets, at least one.
  ///   - sequenceLength: `T`.
  ///   - vocabularySize: the model's; ids are checked against it when they are read.
  ///   - predictsAcrossDocuments: false gives the first token of every document weight 0 as a target.
  /// - Throws: `.invalid` when there are too few tokens for one sample.
  public init(
    _ files: [MegatronTokens], sequenceLength: Int, vocabularySize: Int,
    predictsAcrossDocuments: Bool = true
  ) throws(TokenDataError) {
    require(!files.isEmpty, "samples of no file")
    self.files = files
    self.predictsAcrossDocuments = predictsAcrossDocuments
    self.sequenceLength = sequenceLength
    requiredVocabulary = vocabularySize
    var firstSamples = [0]
    for file in files {
      let samples = max(file.tokenCount - 1, 0) / sequenceLength
      firstSamples.append(firstSamples[firstSamples.count - 1] + samples)
    }
    self.firstSamples = firstSamples
    guard firstSamples[files.count] > 0 else {
      let few = files.map { "\($0.tokenCount)" }.joined(separator: " and ")
      throw .invalid(
        path: files[0].tokenFile, field: "tokens",
        reason: "\(few) tokens are too few for one sample of"
          + " \(sequenceLength + 1); use a shorter sequence or more text")
    }
  }

  /// The file that sample `index` comes from, and the sample's first token there.
  private func place(_ index: UInt64) -> (tokens: MegatronTokens, start: Int) {
    require(
      index < UInt64(firstSamples[files.count]), "sample \(index) of \(firstSamples[files.count])")
    let file = firstSamples.partitioningIndex { $0 > Int(index) } - 1
    return (files[file], (Int(index) - firstSamples[file]) * sequenceLength)
  }

  /// Overwrites `buffer` with sample `index`.
  public func write(sample index: UInt64, into buffer: SampleBuffer) throws(TokenDataError) {
    require(
      buffer.sequenceLength == sequenceLength,
      "\(buffer.sequenceLength) of \(sequenceLength) tokens")
    let (tokens, start) = place(index)
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

  /// Requires that all ids of the first `count` samples are inside the vocabulary.
  ///
  /// - Throws: `.invalid`, naming the first that is not.
  public func checkIDs(ofFirst count: Int) throws(TokenDataError) {
    for (index, tokens) in files.enumerated() where count > firstSamples[index] {
      let samples = min(count, firstSamples[index + 1]) - firstSamples[index]
      guard samples > 0 else { continue }
      try tokens.checkIDs(0..<(samples * sequenceLength + 1), vocabularySize: requiredVocabulary)
    }
  }

  /// The documents that sample `index` has tokens of, by their file and their numbers in it, counted from 0
  /// without empty ones.
  public func documents(ofSample index: UInt64) -> (file: String, numbers: ClosedRange<Int>)? {
    let (tokens, first) = place(index)
    let starts = tokens.documentStarts
    func document(of token: Int) -> Int {
      tokens.documentNumber(max(starts.partitioningIndex { $0 > token } - 1, 0))
    }
    return (tokens.tokenFile, document(of: first)...document(of: first + sequenceLength))
  }

  /// Counts from the beginnings of the documents in the token file's index.
  public func writeHistory(sample index: UInt64, into history: UnsafeMutableBufferPointer<Int32>) {
    let (tokens, start) = place(index)
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
