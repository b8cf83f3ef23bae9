import Foundation

/// Writes a Megatron data set, one sequence a document.
///
/// Tokens are streamed to temporary files beside the target; `finish` makes both appear under their
/// names, the index last. Without `finish` nothing appears, and the temporary files are removed.
public final class MegatronWriter {
  /// How tokens are stored.
  public let element: TokenElement

  /// Tokens written so far.
  public private(set) var tokenCount = 0

  /// Documents written so far.
  public var documentCount: Int { lengths.count }

  private let prefix: String
  private let vocabularySize: Int
  private let bin: AtomicFileWriter
  private var lengths: [Int32] = []

  /// Opens a temporary file beside `PREFIX.bin`.
  ///
  /// - Parameters:
  ///   - prefix: path without extension; its directory exists.
  ///   - vocabularySize: decides the size of a stored token; every id must be below it.
  /// - Throws: `.io`.
  public init(prefix: String, vocabularySize: Int) throws(TokenDataError) {
    self.prefix = prefix
    self.vocabularySize = vocabularySize
    element = .forVocabulary(vocabularySize)
    bin = try AtomicFileWriter(path: prefix + ".bin")
  }

  /// Appends one document.
  ///
  /// - Throws: `.io`; `.invalid` when an id is outside the vocabulary or the document has more than
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
    switch element {
    case .int32: try bin.write(integers: document)
    case .uint16: try bin.write(integers: document.map { UInt16(truncatingIfNeeded: $0) })
    }
    lengths.append(length)
    tokenCount += document.count
  }

  /// Writes the index and makes both files appear.
  ///
  /// - Throws: `.io`.
  public func finish() throws(TokenDataError) {
    let index = try AtomicFileWriter(path: prefix + ".idx")
    try writeIndex(to: index)
    try bin.commit()
    try index.commit()
  }

  private func writeIndex(to file: AtomicFileWriter) throws(TokenDataError) {
    try file.write(MegatronIndex.magic)
    try file.write(integer: UInt64(1))
    try file.write(integer: element.rawValue)
    try file.write(integer: UInt64(lengths.count))
    try file.write(integer: UInt64(lengths.count + 1))
    for length in lengths { try file.write(integer: length) }
    var pointer: Int64 = 0
    for length in lengths {
      try file.write(integer: pointer)
      pointer += Int64(length) * Int64(element.byteCount)
    }
    for document in 0...lengths.count { try file.write(integer: Int64(document)) }
  }
}

/// A buffered file that appears under its name only when it is complete and on disk.
final class AtomicFileWriter {
  private let path: String
  private let temporaryPath: String
  private var descriptor: Int32
  private var buffer: [UInt8] = []

  init(path: String) throws(TokenDataError) {
    self.path = path
    temporaryPath = "\(path).partial-\(getpid())"
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .io(path: temporaryPath, operation: "create", code: errno) }
    buffer.reserveCapacity(1 << 20)
  }

  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    unlink(temporaryPath)
  }

  func write(_ bytes: some Sequence<UInt8>) throws(TokenDataError) {
    buffer.append(contentsOf: bytes)
    if buffer.count >= 1 << 20 { try flush() }
  }

  func write(integer: some FixedWidthInteger) throws(TokenDataError) {
    withUnsafeBytes(of: integer.littleEndian) { buffer.append(contentsOf: $0) }
    if buffer.count >= 1 << 20 { try flush() }
  }

  func write(integers: [some FixedWidthInteger]) throws(TokenDataError) {
    for integer in integers {
      withUnsafeBytes(of: integer.littleEndian) { buffer.append(contentsOf: $0) }
    }
    if buffer.count >= 1 << 20 { try flush() }
  }

  private func flush() throws(TokenDataError) {
    var done = 0
    while done < buffer.count {
      let written = buffer.withUnsafeBytes { bytes in
        Foundation.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
      }
      if written < 0 {
        if errno == EINTR { continue }
        throw .io(path: temporaryPath, operation: "write", code: errno)
      }
      done += written
    }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Brings everything to disk and renames the file to its name.
  func commit() throws(TokenDataError) {
    try flush()
    guard fsync(descriptor) == 0 else {
      throw .io(path: temporaryPath, operation: "sync", code: errno)
    }
    close(descriptor)
    descriptor = -1
    guard rename(temporaryPath, path) == 0 else {
      let code = errno
      unlink(temporaryPath)
      throw .io(path: path, operation: "rename to", code: code)
    }
    let directory = open(
      (path as NSString).deletingLastPathComponent.nonEmpty, O_RDONLY | O_CLOEXEC)
    guard directory >= 0 else { return }
    fsync(directory)
    close(directory)
  }
}

extension String {
  fileprivate var nonEmpty: String { isEmpty ? "." : self }
}
