import Compression
import ErrorReporting
import Files

/// Rows of tokens with a label each: samples of a task, kept in files.
///
/// The tokens are a Megatron data set, a row a document, all of the same length. `PREFIX.labels` beside it has
/// what is to be predicted at every token:
///
///     offset  bytes
///          0      8  "STXLABEL"
///          8      8  u64  version, 1
///         16      8  u64  tokens of a row, T
///         24      8  u64  rows, R
///         32   4 RT  i32  labels, row by row: a token id, or -100 where nothing counts
///              8     u64  XXH64 (seed 0) of PREFIX.bin
///
/// all little-endian. The hash ties the two files together: labels of another data set are refused.
public final class LabelledRows: SampleSource {
  static let magic = Array("STXLABEL".utf8)
  static let version: UInt64 = 1
  static let headerByteCount = 32
  static let ignored: Int32 = -100

  /// Where the labels of a data set are.
  static func path(_ prefix: String) -> String { prefix + ".labels" }

  /// Whether a data set has labels.
  public static func exist(_ prefix: String) throws(TokenDataError) -> Bool {
    try TokenDataError.from(try FileSystem.exists(path(prefix)))
  }

  /// Whether a data set may be measured as text: it has no labels, or every one of them counts and is the
  /// row's next token.
  ///
  /// - Throws: `.file`; `.invalid` for labels that cannot be read.
  public static func leaveText(_ tokens: MegatronTokens) throws(TokenDataError) -> Bool {
    guard try exist(tokens.prefix) else { return true }
    let rows = try LabelledRows(
      tokens, sequenceLength: tokens.tokenCount, vocabularySize: Int(Int32.max))
    let ids = tokens.storedIDs(0..<tokens.tokenCount)
    return ids.indices.allSatisfy { position in
      let label = rows.label(position)
      let isLast = (position + 1).isMultiple(of: rows.rowLength)
      return label == (isLast ? max(label, 0) : ids[position + 1])
    }
  }

  /// Where the tokens come from.
  public let tokens: MegatronTokens

  /// Tokens of a row.
  public let rowLength: Int

  /// Positions in a sample, `T`: one row or several.
  public let sequenceLength: Int

  /// All token ids written are below this number.
  public let requiredVocabulary: Int

  /// Samples in one pass over the files.
  public var sampleCount: Int? { samples }

  private let samples: Int
  private let labels: MappedFile

  /// Opens and checks tokens and labels; reads both once.
  ///
  /// - Parameters:
  ///   - tokens: an open data set that has labels.
  ///   - sequenceLength: tokens of a sample, a multiple of a row's.
  ///   - vocabularySize: the model's; all ids are checked against it.
  /// - Throws: `.file`; `.invalid`, naming the file, for labels that are damaged, of another data set, or
  ///   outside the vocabulary, and for a length that cuts rows.
  public init(
    _ tokens: MegatronTokens, sequenceLength: Int, vocabularySize: Int
  ) throws(TokenDataError) {
    let path = Self.path(tokens.prefix)
    func invalid(_ field: String, _ reason: String) -> TokenDataError {
      .invalid(path: path, field: field, reason: reason)
    }
    labels = try TokenDataError.from(try MappedFile(path: path))
    let bytes = labels.bytes
    guard bytes.count >= Self.headerByteCount + 8, bytes.starts(with: Self.magic) else {
      throw invalid("magic", "not a file of labels, or cut off")
    }
    func number(_ offset: Int) -> UInt64 {
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
    guard number(8) == Self.version else {
      throw invalid("version", "is \(number(8)); only version \(Self.version) is known")
    }
    let (count, overflows) = number(16).multipliedReportingOverflow(by: number(24))
    let room = UInt64(bytes.count - Self.headerByteCount - 8) / 4
    guard !overflows, count == room, bytes.count % 4 == 0, number(16) > 0 else {
      throw invalid(
        "size", "\(number(24)) rows of \(number(16)) labels do not fill \(bytes.count) bytes")
    }
    guard count == UInt64(tokens.tokenCount),
      tokens.wholeFile.hash() == XXH64.hexadecimal(number(bytes.count - 8))
    else {
      throw invalid(
        "hash", "the labels are not of \(tokens.prefix).bin: make both again, or remove the labels")
    }
    self.tokens = tokens
    rowLength = Int(number(16))
    self.sequenceLength = sequenceLength
    requiredVocabulary = vocabularySize
    samples = tokens.tokenCount / sequenceLength
    guard sequenceLength.isMultiple(of: rowLength), samples > 0 else {
      throw invalid(
        "rows",
        "there are \(number(24)) of \(rowLength) tokens: a sequence has to be a multiple of that, and"
          + " no longer than all of them, but it has \(sequenceLength)")
    }
    try tokens.checkIDs(vocabularySize: vocabularySize)
    for position in 0..<tokens.tokenCount {
      let label = self.label(position)
      guard label == Self.ignored || label >= 0 && Int(label) < vocabularySize else {
        throw invalid(
          "label \(position)", "id \(label) is outside the vocabulary of \(vocabularySize)")
      }
    }
  }

  /// What identifies the labels: XXH64 of their file.
  public var labelHash: String { XXH64.hexadecimal(XXH64.hash(labels.bytes)) }

  private func label(_ position: Int) -> Int32 {
    Int32(
      littleEndian: labels.bytes.loadUnaligned(
        fromByteOffset: Self.headerByteCount + 4 * position, as: Int32.self))
  }

  /// Overwrites `buffer` with sample `index`.
  public func write(sample index: UInt64, into buffer: SampleBuffer) throws(TokenDataError) {
    require(
      index < UInt64(samples) && buffer.sequenceLength == sequenceLength,
      "sample \(index) of \(samples), \(buffer.sequenceLength) of \(sequenceLength) tokens")
    let start = Int(index) * sequenceLength
    try tokens.read(from: start, into: buffer.inputs, vocabularySize: requiredVocabulary)
    for t in 0..<sequenceLength {
      let label = label(start + t)
      buffer.targets[t] = max(label, 0)
      buffer.weights[t] = label == Self.ignored ? 0 : 1
    }
  }

  /// Counts from the beginning of each row.
  public func writeHistory(sample index: UInt64, into history: UnsafeMutableBufferPointer<Int32>) {
    for t in history.indices { history[t] = Int32(truncatingIfNeeded: t % rowLength) }
  }
}

/// Writes rows with labels: first the labels appear, then the tokens that they are of.
public final class LabelledRowsWriter {
  private let tokens: MegatronWriter
  private let labels: FileReplacement
  private var hash = XXH64()
  private let rowLength: Int
  private let rowCount: Int

  /// Opens temporary files beside `PREFIX.labels`, `PREFIX.bin` and `PREFIX.idx`.
  ///
  /// - Parameters:
  ///   - prefix: path without extension; its directory exists.
  ///   - rowCount: how many rows will be appended.
  ///   - rowLength: tokens of each.
  ///   - vocabularySize: every id is below it.
  /// - Throws: `.file`.
  public init(
    prefix: String, rowCount: Int, rowLength: Int, vocabularySize: Int
  ) throws(TokenDataError) {
    (self.rowCount, self.rowLength) = (rowCount, rowLength)
    tokens = try MegatronWriter(prefix: prefix, vocabularySize: vocabularySize)
    labels = try TokenDataError.from { () throws(FileError) in
      let labels = try FileReplacement([LabelledRows.path(prefix)])
      try labels.files[0].write(LabelledRows.magic)
      try labels.files[0].write(
        littleEndian: [LabelledRows.version, UInt64(rowLength), UInt64(rowCount)])
      return labels
    }
  }

  /// Appends a row: its inputs, and as labels its targets that count.
  ///
  /// - Throws: `.file`; `.invalid` for an id outside the vocabulary.
  /// - Precondition: the row has `rowLength` tokens, and its weights are 0 or 1.
  public func append(_ row: SampleBuffer) throws(TokenDataError) {
    require(row.sequenceLength == rowLength, "\(row.sequenceLength) tokens, not \(rowLength)")
    let inputs = Array(row.inputs)
    try tokens.append(inputs)
    let marks = zip(row.targets, row.weights).map { target, weight in
      require(weight == 0 || weight == 1, "a weight of \(weight)")
      return weight == 0 ? LabelledRows.ignored : target
    }
    try TokenDataError.from(try labels.files[0].write(littleEndian: marks))
    switch tokens.element {
    case .int32: update(inputs.map(\.littleEndian))
    case .uint16: update(inputs.map { UInt16(truncatingIfNeeded: $0).littleEndian })
    }
  }

  private func update<Element>(_ stored: [Element]) {
    stored.withUnsafeBytes { hash.update($0) }
  }

  /// Makes all files appear.
  ///
  /// - Returns: how many tokens there are.
  /// - Throws: `.file`; labels without their tokens are refused when they are read.
  @discardableResult
  public func finish() throws(TokenDataError) -> Int {
    require(tokens.documentCount == rowCount, "\(tokens.documentCount) rows, not \(rowCount)")
    let digest = hash.digest()
    try TokenDataError.from { () throws(FileError) in
      try labels.files[0].write(littleEndian: [digest])
      try labels.commit()
    }
    try tokens.finish()
    return tokens.tokenCount
  }
}
