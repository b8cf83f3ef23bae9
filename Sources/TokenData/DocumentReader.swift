import Compression
import Files
import Foundation
import JSON

/// How documents are taken from text files.
public struct TextReading: Sendable {
  /// What becomes of a document that cannot be read.
  public enum BadInput: Sendable {
    /// It ends the work.
    case refuse
    /// It is left out and counted.
    case skip
    /// Bytes that are not UTF-8 and lone surrogates become U+FFFD; what that does not mend is left out.
    case replace
  }

  /// The member of each JSON object that holds the text.
  public var field = "text"
  /// What becomes of a document that cannot be read.
  public var badInput = BadInput.refuse

  /// The member `text`; bad input is refused.
  public init() {}
}

/// Documents that were left out.
public struct SkippedDocuments: Sendable, Equatable {
  /// How many.
  public var count = 0
  /// What was wrong with the first ten, and where.
  public var first: [String] = []

  mutating func note(_ error: TokenDataError) {
    count += 1
    if first.count < 10 { first.append(error.description) }
  }
}

/// Reads documents from a text file.
///
/// `.txt` is one document; `.jsonl` and `.jsonl.zst` hold one JSON object a line, one member of which is
/// the document. Empty lines are skipped, and a byte order mark at the start of the file. A line has at
/// most `longestLine` bytes, which bounds the memory whatever a compressed file holds.
struct DocumentReader {
  typealias Body = (UnsafeBufferPointer<UInt8>) throws(TokenDataError) -> Void

  /// Bytes of a line at most.
  static let longestLine = 1 << 28

  let path: String
  var reading = TextReading()
  /// Documents left out so far.
  private(set) var skipped = SkippedDocuments()

  init(path: String, reading: TextReading = TextReading()) {
    self.path = path
    self.reading = reading
  }

  /// Calls `body` with the UTF-8 text of each document, in order.
  mutating func forEachDocument(_ body: Body) throws(TokenDataError) {
    if path.hasSuffix(".txt") {
      try readText(body)
    } else if path.hasSuffix(".jsonl") {
      let file = try TokenDataError.from(try MappedFile(path: path))
      file.adviseSequential()
      var lines = LineSplitter(path: path, reading: reading)
      defer { skipped = lines.skipped }
      let rest = try lines.feed(file.bytes, body)
      try lines.finish(file.bytes[rest...], body)
    } else if path.hasSuffix(".jsonl.zst") {
      try readCompressed(body)
    } else {
      throw .invalid(
        path: path, field: "file name", reason: "must end in .txt, .jsonl or .jsonl.zst")
    }
  }

  private mutating func readText(_ body: Body) throws(TokenDataError) {
    let file = try TokenDataError.from(try MappedFile(path: path))
    let bytes = withoutByteOrderMark(file.bytes)
    if String(validating: bytes, as: UTF8.self) != nil {
      return try body(bytes.assumingMemoryBound(to: UInt8.self))
    }
    let error = TokenDataError.invalid(path: path, field: "text", reason: "is not UTF-8")
    switch reading.badInput {
    case .refuse: throw error
    case .skip: skipped.note(error)
    case .replace: try callWithText(String(decoding: bytes, as: UTF8.self), body)
    }
  }

  private mutating func readCompressed(_ body: Body) throws(TokenDataError) {
    let file = try TokenDataError.from(try InputFile(path: path))
    let reader = try zstd { () throws(CompressionError) in try DecompressingReader(file) }
    var lines = LineSplitter(path: path, reading: reading)
    defer { skipped = lines.skipped }
    var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 << 20, alignment: 64)
    defer { buffer.deallocate() }
    var (kept, total) = (0, 0)
    while true {
      if kept == buffer.count {
        if kept < Self.longestLine {
          Self.double(&buffer)
        } else {
          try lines.dropLine()
          kept = 0
        }
      }
      let free = UnsafeMutableRawBufferPointer(rebasing: buffer[kept...])
      let count = try zstd { () throws(CompressionError) in try reader.read(into: free) }
      total += count
      let filled = UnsafeRawBufferPointer(rebasing: buffer[..<(kept + count)])
      let rest = try lines.feed(filled, body)
      if count < free.count {
        guard total > 0 else {
          throw .invalid(path: path, field: "zstd", reason: "holds nothing; was a download cut?")
        }
        return try lines.finish(filled[rest...], body)
      }
      kept = filled.count - rest
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: filled[rest...]))
    }
  }

  private func zstd<Result>(
    _ body: () throws(CompressionError) -> Result
  ) throws(TokenDataError) -> Result {
    do throws(CompressionError) {
      return try body()
    } catch .file(let error) {
      throw .file(error)
    } catch {
      throw .invalid(path: path, field: "zstd", reason: error.description)
    }
  }

  /// Makes room for a line that is longer than the buffer.
  private static func double(_ buffer: inout UnsafeMutableRawBufferPointer) {
    let larger = UnsafeMutableRawBufferPointer.allocate(
      byteCount: 2 * buffer.count, alignment: 64)
    larger.copyMemory(from: UnsafeRawBufferPointer(buffer))
    buffer.deallocate()
    buffer = larger
  }
}

/// Cuts bytes into lines and takes the document out of each.
private struct LineSplitter {
  let path: String
  let reading: TextReading
  private(set) var skipped = SkippedDocuments()
  private var line = 0
  /// Whether the rest of a line that is too long is being passed over.
  private var isDropping = false

  init(path: String, reading: TextReading) {
    self.path = path
    self.reading = reading
  }

  /// Handles the complete lines of `bytes` and returns where the incomplete one begins.
  mutating func feed(
    _ bytes: UnsafeRawBufferPointer, _ body: DocumentReader.Body
  ) throws(TokenDataError) -> Int {
    guard let base = bytes.baseAddress else { return 0 }
    var start = 0
    while let found = memchr(base + start, 0x0A, bytes.count - start) {
      let end = UnsafeRawPointer(found) - base
      if isDropping {
        isDropping = false
      } else {
        try handle(bytes[start..<end], body)
      }
      start = end + 1
      if start == bytes.count { break }
    }
    return isDropping ? bytes.count : start
  }

  /// Handles a last line without newline.
  mutating func finish(
    _ rest: Slice<UnsafeRawBufferPointer>, _ body: DocumentReader.Body
  ) throws(TokenDataError) {
    if !rest.isEmpty && !isDropping { try handle(rest, body) }
  }

  /// Gives up a line of which `longestLine` bytes were fed, and passes over the rest of it.
  mutating func dropLine() throws(TokenDataError) {
    line += 1
    isDropping = true
    try leaveOut(tooLong)
  }

  private var tooLong: TokenDataError {
    .invalid(
      path: path, field: "line \(line)",
      reason: "has more than \(DocumentReader.longestLine) bytes, the most that a line may have")
  }

  private mutating func leaveOut(_ error: TokenDataError) throws(TokenDataError) {
    guard reading.badInput != .refuse else { throw error }
    skipped.note(error)
  }

  private mutating func handle(
    _ bytes: Slice<UnsafeRawBufferPointer>, _ body: DocumentReader.Body
  ) throws(TokenDataError) {
    line += 1
    let text: String?
    do throws(TokenDataError) {
      guard bytes.count <= DocumentReader.longestLine else { throw tooLong }
      text = try document(in: UnsafeRawBufferPointer(rebasing: bytes))
    } catch {
      return try leaveOut(error)
    }
    if let text { try callWithText(text, body) }
  }

  /// The document in a line, nil where the line is empty.
  private func document(
    in bytes: UnsafeRawBufferPointer
  ) throws(TokenDataError) -> String? {
    var cursor = JSONCursor(
      line == 1 ? withoutByteOrderMark(bytes) : bytes, source: path, firstLine: line,
      replacesBadText: reading.badInput == .replace)
    if cursor.peek() == nil { return nil }
    let text = try TokenDataError.from { () throws(FileError) in
      var text: String?
      try cursor.object { (cursor, name) throws(FileError) in
        if name == reading.field {
          text = try cursor.string()
        } else {
          _ = try cursor.value(allowsNonFinite: true)
        }
      }
      try cursor.expectEnd()
      return text
    }
    if let text { return text }
    throw .invalid(path: path, field: "line \(line)", reason: "has no member '\(reading.field)'")
  }
}

/// The bytes without a UTF-8 byte order mark at their start.
private func withoutByteOrderMark(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
  bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? UnsafeRawBufferPointer(rebasing: bytes[3...]) : bytes
}

/// Calls `body` with the text's UTF-8; unlike `withUTF8` it passes typed errors on.
private func callWithText(_ text: String, _ body: DocumentReader.Body) throws(TokenDataError) {
  let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
  defer { copy.deallocate() }
  _ = copy.initialize(from: text.utf8)
  try body(UnsafeBufferPointer(copy))
}
