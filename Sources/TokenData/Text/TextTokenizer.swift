import Files
import ProgramVersion
import Threads

/// Turns text files into a Megatron data set.
///
/// Ids are put around each document as `ends` says; empty documents are left out. The output depends on the
/// inputs, in their order, and on the settings, but not on the number of threads. Work that was
/// interrupted is taken up after the last input that was finished and saved (`UnfinishedTokens`).
public struct TextTokenizer {
  /// How far the work has come.
  public struct Progress: Sendable, Equatable {
    /// The input being worked on.
    public var path = ""
    /// Bytes of the inputs read, as stored.
    public var storedBytes = 0
    /// What was written.
    public var counts = TokenManifest.Counts()
  }

  /// The outcome.
  public struct Result: Sendable {
    /// What stands beside the data set.
    public let manifest: TokenManifest
    /// The first ten documents that were left out in this run.
    public let skipped: [SkippedDocument]
    /// Inputs that an interrupted run had done.
    public let inputsTakenUp: Int
    /// Inputs without documents, in this run.
    public let empty: [String]
  }

  /// Bytes of batches that may be under way at once, the smallest and the largest one apart.
  private static let bytesUnderWay = 1 << 26
  /// Bytes of ids after which finished inputs are saved.
  private static let bytesBetweenSaves = 1 << 28
  /// Tokens after which documents are published at first; later it takes a quarter more.
  private static let tokensBeforePublishing = 1 << 20

  private let tokenizer: any Tokenizer
  private let outputPrefix: String

  /// How documents are taken from files.
  public var reading = TextReading()
  /// Which ids are put around them.
  public var ends = DocumentEnds()
  /// The longest document as it is stored, in bytes.
  public var longestDocument = 1 << 28
  /// Threads that encode.
  public var threads = 1
  /// Time after which finished inputs are saved.
  package var saveInterval = Duration.seconds(10)
  /// Whether interrupted work that does not fit is thrown away.
  public var dropsOldWork = false
  /// Whether documents can be read by others before all are done (`PublishedTokens`).
  package var publishes = false
  /// Asked after each piece of work; once it says true the work is left to be taken up later.
  package var isStopping: () -> Bool = { false }

  /// Text goes through `tokenizer` to `PREFIX.bin` and `PREFIX.idx`.
  public init(tokenizer: any Tokenizer, outputPrefix: String) {
    self.tokenizer = tokenizer
    self.outputPrefix = outputPrefix
  }

  /// The file of an existing data set that a run would replace; nil where there is none.
  ///
  /// Tokens without an index beside unfinished work are part of that work.
  ///
  /// - Throws: `.file`.
  public func existingOutput() throws(TokenDataError) -> String? {
    try TokenDataError.from { () throws(FileError) in
      if try FileSystem.exists(outputPrefix + ".idx") { return outputPrefix + ".idx" }
      let isUnfinished = try FileSystem.exists(UnfinishedTokens.directory(outputPrefix))
      let bin = outputPrefix + ".bin"
      guard !isUnfinished, try FileSystem.exists(bin) else { return nil }
      return bin
    }
  }

  /// Tokenizes the inputs in the order given.
  ///
  /// Nothing appears under the output names unless everything went well; then an older data set is replaced.
  ///
  /// - Parameters:
  ///   - inputs: the files.
  ///   - progress: called now and then.
  /// - Returns: the totals.
  /// - Throws: `.file`; `.invalid` naming file and line, or a file without any document.
  public func run(
    _ inputs: [TextInput], progress: (Progress) -> Void = { _ in }
  ) throws(TokenDataError) -> Result {
    try checkEnds()
    let tokenizerPath = try tokenizerPath()
    let settings = TokenizingSettings(
      vocabulary: tokenizer.vocabulary, reading: reading, ends: ends,
      longestDocument: longestDocument)
    let output = try UnfinishedTokens.open(
      prefix: outputPrefix, settings, inputs: inputs, overwriting: dropsOldWork)
    var pass = TokenizingPass(inputs, output, isStrict: reading.badInput == .refuse)
    do throws(TokenDataError) {
      try tokenize(inputs, output, &pass, progress)
      guard output.documentCount > 0 else { throw pass.nothing(inputs[0].path) }
      let manifest = try output.complete(
        program: "statex \(programVersion)", tokenizerPath: tokenizerPath)
      return Result(
        manifest: manifest, skipped: pass.skipped, inputsTakenUp: pass.inputsTakenUp,
        empty: pass.empty)
    } catch {
      output.discardIfEmpty()
      throw error
    }
  }

  /// Where the tokenizer is found from any directory.
  private func tokenizerPath() throws(TokenDataError) -> String? {
    guard let path = tokenizer.path else { return nil }
    return try TokenDataError.from(try FileSystem.canonical(path))
  }

  /// Requires that the tokenizer has the ids that stand around documents.
  ///
  /// - Throws: `.unsupported`.
  func checkEnds() throws(TokenDataError) {
    func lacks(_ id: String, _ option: String) -> TokenDataError {
      .unsupported(
        path: tokenizer.identity, component: "a tokenizer without \(id) id (\(option))")
    }
    if ends.end == .always, tokenizer.endOfText == nil {
      throw lacks("end-of-text", "--eos never does without")
    }
    if ends.beginning == .always, tokenizer.beginningOfText == nil {
      throw lacks("beginning-of-text", "--bos template or never does without")
    }
  }

  private func tokenize(
    _ inputs: [TextInput], _ output: UnfinishedTokens, _ pass: inout TokenizingPass,
    _ progress: (Progress) -> Void
  ) throws(TokenDataError) {
    let workers = (0..<max(threads, 1)).map { _ in
      let encoder = DocumentEncoder(tokenizer.copyForThread(), reading, ends)
      return { (piece: TokenizingPass.Piece) in
        piece.batch.map { encoder.encode($0, of: piece.input) } ?? EncodedBatch()
      }
    }
    let work = OrderedWork(workers)
    let mostWaiting = threads > 1 ? 4 * threads : 1
    var lastSave = ContinuousClock.now
    var (unsaved, published) = (0, 0)
    func collect() throws(TokenDataError) {
      guard let result = work.collect() else { return }
      unsaved += result.stored.count
      try pass.take(result)
      progress(pass.progress)
      if isStopping() { throw .interrupted }
      let fresh = output.tokenCount - published
      if publishes, fresh >= max(Self.tokensBeforePublishing, published / 4) {
        try output.publish()
        published = output.tokenCount
      }
      let isDue = ContinuousClock.now - lastSave >= saveInterval
      guard pass.hasFinishedInput, isDue || unsaved >= Self.bytesBetweenSaves else { return }
      try output.save()
      (lastSave, unsaved) = (.now, 0)
    }
    func submit(_ piece: TokenizingPass.Piece) throws(TokenDataError) {
      pass.submitted(piece)
      work.submit(piece)
      while work.count >= mostWaiting || pass.bytesUnderWay > Self.bytesUnderWay, work.count > 0 {
        try collect()
      }
    }
    do throws(TokenDataError) {
      for input in inputs.dropFirst(pass.inputsTakenUp) { try read(input, submit) }
    } catch {
      // What came before the failure in the files' order may have failed too, and counts first.
      while work.count > 0 { try collect() }
      throw error
    }
    while work.count > 0 { try collect() }
  }

  /// Hands on an input in pieces.
  private func read(
    _ input: TextInput, _ submit: (TokenizingPass.Piece) throws(TokenDataError) -> Void
  ) throws(TokenDataError) {
    let stamp = try input.stamp()
    let source = try input.open()
    var batches = try DocumentBatches(input, source, longestDocument: longestDocument)
    while let batch = try batches.next() {
      try submit(.init(input: input, batch: batch, storedBytes: source.byteCount))
    }
    guard try input.stamp() == stamp else {
      throw .invalid(path: input.path, field: "input", reason: "was changed while it was read")
    }
    try submit(
      .init(
        input: input, storedBytes: source.byteCount,
        end: .init(byteCount: source.byteCount, hash: source.digest, stamp: stamp)))
  }
}

extension Tokenizer {
  /// How manifests name it.
  public var vocabulary: TokenManifest.Vocabulary {
    .init(name: name, hash: contentHash, size: vocabularySize)
  }
}
