import ErrorReporting
import Files

/// How a token is stored.
public enum TokenElement: UInt8, Sendable {
  case int32 = 4
  case uint16 = 8

  /// Bytes of one token.
  public var byteCount: Int { self == .int32 ? 4 : 2 }

  /// What Megatron chooses for a vocabulary: 16 bits below 65,500 ids.
  public static func forVocabulary(_ size: Int) -> TokenElement {
    size < 65_500 ? .uint16 : .int32
  }
}

/// The tokens of a Megatron data set `PREFIX.bin` + `PREFIX.idx`, as one long row.
///
/// Sequences are concatenated in the order of the index; nothing is put between them. Both files
/// are mapped, not read. Stretches of the token file that follow each other in the index are one
/// run, so an ordinary file is a single run. (`megatron/core/datasets/indexed_dataset.py`.) A file
/// without an index (`FlatTokenFile`) and some of the documents of either kind are shown in the same way.
public final class MegatronTokens {
  /// Path without the extension.
  public let prefix: String

  /// How tokens are stored.
  public let element: TokenElement

  /// Number of tokens in all sequences.
  public let tokenCount: Int

  /// Number of sequences in the index.
  public let sequenceCount: Int

  /// Number of documents in the index.
  public let documentCount: Int

  /// What the data set was made from, if its manifest stands beside it.
  public let manifest: TokenManifest?

  /// A stretch of tokens that is contiguous in the token file.
  struct Run: Equatable {
    /// Tokens before it.
    var start: Int
    /// Where it begins in the token file, in tokens.
    var fileOffset: Int
  }

  /// The position of each document's first token, ascending; documents without tokens are left out.
  public private(set) lazy var documentStarts = layout.documentStarts()

  /// The positions of each document's tokens, ascending; documents without tokens are left out.
  public var documents: [Range<Int>] {
    let starts = documentStarts
    return zip(starts, starts.dropFirst() + [tokenCount]).map { $0..<$1 }
  }

  private let runs: [Run]
  private let bin: MappedFile
  /// Nil where there is none.
  private let index: MappedFile?
  private let layout: any TokenLayout

  /// Maps and checks a data set.
  ///
  /// - Throws: `.file` when a file cannot be opened; `.invalid`, naming file and field, for anything
  ///   that breaks the format, and for two files that do not belong together.
  public convenience init(prefix: String) throws(TokenDataError) {
    let (index, bin) = try TokenDataError.from { () throws(FileError) in
      (try MappedFile(path: prefix + ".idx"), try MappedFile(path: prefix + ".bin"))
    }
    // A writer takes the old index away before it touches the tokens.
    guard try TokenDataError.from(try index.isInPlace()) else {
      throw .invalid(
        path: index.path, field: "file", reason: "is being replaced: try again when that is done")
    }
    let layout = try MegatronIndex(index, tokenFile: bin)
    self.init(prefix, bin, index, layout, try TokenManifest(prefix: prefix))
    try manifest?.check(prefix, fingerprint())
  }

  /// Maps a file without an index: nanoGPT's or llm.c's `.bin`, or `.npy`.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - endOfText: the id after which a document ends; nil makes the file one document.
  /// - Throws: `.file`; `.invalid` naming file and field.
  public convenience init(flat path: String, endOfText: Int32? = nil) throws(TokenDataError) {
    let file = try TokenDataError.from(try MappedFile(path: path))
    self.init(path, file, nil, try FlatTokenFile(file, endOfText: endOfText), nil)
  }

  /// Tokens that stand in `bin` as `layout` says.
  init(
    _ prefix: String, _ bin: MappedFile, _ index: MappedFile?, _ layout: any TokenLayout,
    _ manifest: TokenManifest?
  ) {
    (self.prefix, self.manifest) = (prefix, manifest)
    (self.bin, self.index, self.layout) = (bin, index, layout)
    element = layout.element
    sequenceCount = layout.sequenceCount
    documentCount = layout.documentCount
    tokenCount = layout.tokenCount
    runs = layout.runs
  }

  /// The documents that `isSelected` says yes to, one after the other, on the same mapped files.
  ///
  /// - Parameter isSelected: asked with the positions of each document's tokens, in order; documents without
  ///   tokens are left out.
  /// - Returns: a row of these documents alone.
  public func selecting(_ isSelected: (Range<Int>) -> Bool) -> MegatronTokens {
    MegatronTokens(prefix, bin, index, DocumentSelection(self, isSelected), manifest)
  }

  /// The number in the file of the document whose start is at `index` of `documentStarts`.
  ///
  /// Documents without tokens have no number of their own.
  func documentNumber(_ index: Int) -> Int {
    (layout as? DocumentSelection)?.number(index) ?? index
  }

  /// The file of tokens.
  public var tokenFile: String { bin.path }

  /// Identifies the contents; reads the index and two MiB of tokens, once.
  public func fingerprint() -> DatasetFingerprint { ownFingerprint }

  private lazy var ownFingerprint = DatasetFingerprint(
    tokens: bin.bytes, index: index?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0))

  /// The whole token file, to be hashed.
  public var wholeFile: WholeTokenFile {
    WholeTokenFile(bin, fingerprint: fingerprint(), recorded: manifest?.tokens.hash)
  }

  /// Overwrites `destination` with the tokens from `start` on.
  ///
  /// - Parameters:
  ///   - start: the first token's position.
  ///   - destination: how many tokens are read, and where they are written.
  ///   - vocabularySize: every id must be below it; nil allows all that are not negative.
  /// - Throws: `.invalid` naming the first token outside the vocabulary.
  /// - Precondition: the tokens exist.
  public func read(
    from start: Int, into destination: UnsafeMutableBufferPointer<Int32>, vocabularySize: Int?
  ) throws(TokenDataError) {
    require(
      start >= 0 && start + destination.count <= tokenCount,
      "\(destination.count) tokens from \(start) on, of \(tokenCount)")
    var done = 0
    var run = runIndex(of: start)
    while done < destination.count {
      let position = start + done
      let end = run + 1 < runs.count ? runs[run + 1].start : tokenCount
      let count = min(end - position, destination.count - done)
      let offset = runs[run].fileOffset + position - runs[run].start
      let part = UnsafeMutableBufferPointer(rebasing: destination[done..<(done + count)])
      let largest = copy(fileOffset: offset, into: part)
      if largest >= UInt32(clamping: vocabularySize ?? Int(Int32.max) + 1) {
        throw outsideVocabulary(part, position: position, vocabularySize: vocabularySize)
      }
      done += count
      run += 1
    }
  }

  /// The ids at some positions, whether they are in a vocabulary or not.
  func storedIDs(_ positions: Range<Int>) -> [Int32] {
    [Int32](unsafeUninitializedCapacity: positions.count) { buffer, count in
      forEachStretch(of: positions) { fileOffset, length in
        let part = UnsafeMutableBufferPointer(rebasing: buffer[count..<(count + length)])
        _ = copy(fileOffset: fileOffset, into: part)
        count += length
      }
    }
  }

  /// The bytes of the tokens from `start` on, `count` of them or as many as follow in the file.
  func stored(from start: Int, count: Int) -> UnsafeRawBufferPointer {
    let run = runIndex(of: start)
    let end = run + 1 < runs.count ? runs[run + 1].start : tokenCount
    let first = (runs[run].fileOffset + start - runs[run].start) * element.byteCount
    let bytes = min(end - start, count) * element.byteCount
    return UnsafeRawBufferPointer(rebasing: bin.bytes[first..<(first + bytes)])
  }

  /// Calls `body` with the place in the token file, in tokens, and the length of each stretch of `positions`.
  func forEachStretch(of positions: Range<Int>, _ body: (Int, Int) -> Void) {
    var position = positions.lowerBound
    while position < positions.upperBound {
      let run = runIndex(of: position)
      let end = min(run + 1 < runs.count ? runs[run + 1].start : tokenCount, positions.upperBound)
      body(runs[run].fileOffset + position - runs[run].start, end - position)
      position = end
    }
  }

  /// The run that holds the token at `position`: the last one that starts at or before it.
  private func runIndex(of position: Int) -> Int {
    var low = 0
    var high = runs.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if runs[middle].start <= position { low = middle } else { high = middle }
    }
    return low
  }

  /// Converts tokens and returns the largest id, negative ones counting as the largest.
  private func copy(
    fileOffset: Int, into part: UnsafeMutableBufferPointer<Int32>
  ) -> UInt32 {
    guard let base = bin.bytes.baseAddress, let destination = part.baseAddress else { return 0 }
    var largest: UInt32 = 0
    switch element {
    case .uint16:
      let source = base.assumingMemoryBound(to: UInt16.self) + fileOffset
      for i in 0..<part.count {
        let token = UInt32(UInt16(littleEndian: source[i]))
        largest = max(largest, token)
        destination[i] = Int32(bitPattern: token)
      }
    case .int32:
      let source = base.assumingMemoryBound(to: UInt32.self) + fileOffset
      for i in 0..<part.count {
        let token = UInt32(littleEndian: source[i])
        largest = max(largest, token)
        destination[i] = Int32(bitPattern: token)
      }
    }
    return largest
  }

  private func outsideVocabulary(
    _ part: UnsafeMutableBufferPointer<Int32>, position: Int, vocabularySize: Int?
  ) -> TokenDataError {
    let limit = vocabularySize ?? Int(Int32.max)
    let bad = part.firstIndex { $0 < 0 || Int($0) >= limit } ?? 0
    let token = position + bad
    return .invalid(
      path: bin.path, field: "token \(token)",
      reason:
        "id \(part[bad]), in document \(layout.document(ofToken: token)), is outside the vocabulary of"
        + " \(limit); was the file made with another tokenizer?")
  }
}

extension [Int] {
  /// The first index whose element fulfils `isLater`, in an array in which all such stand at the end.
  package func partitioningIndex(where isLater: (Int) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isLater(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
