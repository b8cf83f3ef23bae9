import Files

/// Writes a Megatron data set, one sequence a document.
///
/// Tokens are streamed to temporary files beside the target (`FileReplacement`); `finish` makes both
/// appear under their names, the index last. Without `finish` nothing appears or is replaced.
public final class MegatronWriter {
  /// How tokens are stored.
  public let element: TokenElement

  /// Tokens written so far.
  public private(set) var tokenCount = 0

  /// Documents written so far.
  public var documentCount: Int { lengths.count }

  private let prefix: String
  private let vocabularySize: Int
  private let pair: FileReplacement
  private var bin: OutputFile { pair.files[0] }
  private var lengths: [Int32] = []

  /// Opens temporary files beside `PREFIX.bin` and `PREFIX.idx`.
  ///
  /// - Parameters:
  ///   - prefix: path without extension; its directory exists.
  ///   - vocabularySize: decides the size of a stored token; every id must be below it.
  /// - Throws: `.file`.
  public init(prefix: String, vocabularySize: Int) throws(TokenDataError) {
    self.prefix = prefix
    self.vocabularySize = vocabularySize
    element = .forVocabulary(vocabularySize)
    pair = try TokenDataError.from(try FileReplacement([prefix + ".bin", prefix + ".idx"]))
  }

  /// Appends one document.
  ///
  /// - Throws: `.file`; `.invalid` when an id is outside the vocabulary or the document has more than
  ///   2^31-1 tokens.
  public func append(_ document: [Int32]) throws(TokenDataError) {
    guard let length = Int32(exactly: document.count) else {
      throw .invalid(
        path: prefix + ".bin", field: "document \(lengths.count)",
        reason: "\(document.count) tokens are more than an index can hold")
    }
    if let bad = document.first(where: { $0 < 0 || Int($0) >= vocabularySize }) {
      throw .invalid(
        path: prefix + ".bin", field: "document \(lengths.count)",
        reason: "id \(bad) is outside the vocabulary of \(vocabularySize)")
    }
    try TokenDataError.from { () throws(FileError) in
      switch element {
      case .int32: try bin.write(littleEndian: document)
      case .uint16: try bin.write(littleEndian: document.map { UInt16(truncatingIfNeeded: $0) })
      }
    }
    lengths.append(length)
    tokenCount += document.count
  }

  /// Writes the index and makes both files appear; a manifest of what was there before goes.
  ///
  /// - Throws: `.file`; what was there before is there still.
  public func finish() throws(TokenDataError) {
    try TokenDataError.from { () throws(FileError) in
      _ = try MegatronIndex.write(lengths, element, to: pair.files[1])
      try pair.commit()
      try FileSystem.remove(TokenManifest.path(prefix: prefix))
    }
  }
}
