import Files

/// What has become of the pieces of the inputs, in their order.
struct TokenizingPass {
  /// Part of an input, or its end.
  struct Piece {
    /// What is known of an input that was read to its end.
    struct End {
      var byteCount: Int
      var hash: String
      var stamp: FileSystem.Stamp?
    }

    var input: TextInput
    /// Nil at the end.
    var batch: DocumentBatch?
    /// Bytes of the input read so far, as stored.
    var storedBytes: Int
    var end: End?
  }

  /// Inputs that an interrupted run had done.
  let inputsTakenUp: Int
  /// How far the work has come.
  private(set) var progress = TextTokenizer.Progress()
  /// The first ten documents that were left out.
  private(set) var skipped: [SkippedDocument] = []
  /// Inputs without documents.
  private(set) var empty: [String] = []
  /// Bytes of batches that were submitted and not taken.
  private(set) var bytesUnderWay = 0
  /// Whether an input was finished with the last piece.
  private(set) var hasFinishedInput = false

  private let output: UnfinishedTokens
  private let isStrict: Bool
  /// Pieces whose results were not taken, the oldest first, and the bytes of their batches.
  private var pieces: [(piece: Piece, byteCount: Int)] = []
  /// What the present input gave so far.
  private var present = TokenManifest.Counts()
  /// What the inputs before it gave, and how many bytes they have.
  private var before: TokenManifest.Counts
  private var bytesBefore: Int
  private var firstProblem: SkippedDocument?

  /// A pass over inputs, of which `output` has done some.
  init(_ inputs: [TextInput], _ output: UnfinishedTokens, isStrict: Bool) {
    (self.output, self.isStrict) = (output, isStrict)
    inputsTakenUp = output.sources.count
    before = output.sources.reduce(.init()) { $0 + $1.counts }
    bytesBefore = output.sources.reduce(0) { $0 + $1.byteCount }
  }

  /// Remembers a piece until its result is there, but not its batch, which is the worker's.
  mutating func submitted(_ piece: Piece) {
    let byteCount = piece.batch?.bytes.bytes.count ?? 0
    var piece = piece
    piece.batch = nil
    pieces.append((piece, byteCount))
    bytesUnderWay += byteCount
  }

  /// Writes the result of the oldest piece.
  ///
  /// - Throws: `.file`; `.invalid` for bad input, an input without documents.
  mutating func take(_ result: EncodedBatch) throws(TokenDataError) {
    let (piece, byteCount) = pieces.removeFirst()
    bytesUnderWay -= byteCount
    if let failure = result.failure { throw failure }
    try output.append(result)
    present.documents += result.lengths.count
    present.tokens += result.lengths.reduce(0) { $0 + Int($1) }
    present.textBytes += result.textBytes
    present.skipped += result.skipped.count
    present.largest = max(present.largest, result.largest)
    if firstProblem == nil { firstProblem = result.skipped.first }
    skipped += result.skipped.prefix(10 - skipped.count)
    progress = .init(
      path: piece.input.path, storedBytes: bytesBefore + piece.storedBytes,
      counts: before + present)
    hasFinishedInput = piece.end != nil
    if let end = piece.end { try finish(piece.input, end) }
  }

  private mutating func finish(
    _ input: TextInput, _ end: Piece.End
  ) throws(TokenDataError) {
    if present.documents == 0 {
      guard !isStrict else { throw nothing(input.path) }
      empty.append(input.path)
    }
    output.finish(
      .init(path: input.path, byteCount: end.byteCount, hash: end.hash, counts: present), end.stamp)
    before = before + present
    bytesBefore += end.byteCount
    (present, firstProblem) = (.init(), nil)
  }

  /// The error of an input without documents.
  func nothing(_ path: String) -> TokenDataError {
    .invalid(
      path: path, field: "documents",
      reason: (firstProblem ?? skipped.first).map {
        "none can be read; the first: \($0.description)"
      }
        ?? "there are none, or none has any text")
  }
}
