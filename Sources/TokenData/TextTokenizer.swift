/// Turns text files into a Megatron data set.
///
/// Each document is encoded with what the tokenizer's template puts before a text, and ended with
/// the end-of-text id. Empty documents are left out.
public struct TextTokenizer {
  /// How far the work has come.
  public struct Progress: Sendable, Equatable {
    /// The file being read.
    public var path = ""
    /// Documents written.
    public var documents = 0
    /// Tokens written.
    public var tokens = 0
    /// Bytes of text read.
    public var textBytes = 0
    /// Documents left out because they could not be read.
    public var skipped = SkippedDocuments()
  }

  private let tokenizer: any Tokenizer
  private let outputPrefix: String
  private let reading: TextReading

  /// Text goes through `tokenizer` to `PREFIX.bin` and `PREFIX.idx`.
  public init(
    tokenizer: any Tokenizer, outputPrefix: String, reading: TextReading = TextReading()
  ) {
    self.tokenizer = tokenizer
    self.outputPrefix = outputPrefix
    self.reading = reading
  }

  /// Tokenizes the files in the order given.
  ///
  /// Nothing appears under the output names unless everything went well.
  ///
  /// - Parameters:
  ///   - files: `.txt` (one document), `.jsonl` or `.jsonl.zst` (a member of each line's object).
  ///   - progress: called after every document.
  /// - Returns: the totals.
  /// - Throws: `.io`; `.invalid` naming file and line, or a file without any document.
  public func run(
    files: [String], progress: (Progress) -> Void = { _ in }
  ) throws(TokenDataError) -> Progress {
    guard let end = tokenizer.endOfText else {
      throw .unsupported(path: tokenizer.identity, component: "a tokenizer without end-of-text id")
    }
    let writer = try MegatronWriter(
      prefix: outputPrefix, vocabularySize: tokenizer.vocabularySize)
    var total = Progress()
    var tokens: [Int32] = []
    for path in files {
      total.path = path
      let before = total
      var reader = DocumentReader(path: path, reading: reading)
      try reader.forEachDocument { (text) throws(TokenDataError) in
        guard !text.isEmpty else { return }
        tokens.removeAll(keepingCapacity: true)
        tokenizer.encode(utf8: text, addSpecial: true, appendingTo: &tokens)
        if tokens.last != end { tokens.append(end) }
        try writer.append(tokens)
        total.documents += 1
        total.tokens += tokens.count
        total.textBytes += text.count
        progress(total)
      }
      total.skipped.count += reader.skipped.count
      total.skipped.first += reader.skipped.first.prefix(10 - total.skipped.first.count)
      guard total.documents > before.documents else {
        throw .invalid(
          path: path, field: "documents",
          reason: reader.skipped.first.first.map { "none can be read; the first: \($0)" }
            ?? "there are none, or none has any text")
      }
    }
    try writer.finish()
    return total
  }
}
