import Compression
import Foundation
import TensorFiles

/// Reads documents from text files.
///
/// `.txt` is one document; `.jsonl` and `.jsonl.zst` hold one JSON object a line, whose `text`
/// member is the document. Empty lines are skipped.
struct DocumentReader {
  let path: String

  /// Calls `body` with the UTF-8 text of each document, in order.
  func forEachDocument(
    _ body: (UnsafeBufferPointer<UInt8>) throws(TokenDataError) -> Void
  ) throws(TokenDataError) {
    if path.hasSuffix(".txt") {
      try readText(body)
    } else if path.hasSuffix(".jsonl") {
      let file = try mapFile(path)
      file.adviseSequential()
      var lines = LineSplitter(path: path)
      let rest = try lines.feed(file.bytes, body)
      try lines.finish(file.bytes[rest...], body)
    } else if path.hasSuffix(".jsonl.zst") {
      try readCompressed(body)
    } else {
      throw .invalid(
        path: path, field: "file name", reason: "must end in .txt, .jsonl or .jsonl.zst")
    }
  }

  private func readText(
    _ body: (UnsafeBufferPointer<UInt8>) throws(TokenDataError) -> Void
  ) throws(TokenDataError) {
    let file = try mapFile(path)
    guard String(validating: file.bytes, as: UTF8.self) != nil else {
      throw .invalid(path: path, field: "text", reason: "is not UTF-8")
    }
    try body(file.bytes.assumingMemoryBound(to: UInt8.self))
  }

  private func readCompressed(
    _ body: (UnsafeBufferPointer<UInt8>) throws(TokenDataError) -> Void
  ) throws(TokenDataError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .io(path: path, operation: "open", code: errno) }
    defer { close(descriptor) }
    let reader: DecompressingReader
    do {
      reader = try DecompressingReader(descriptor: descriptor)
    } catch {
      throw .invalid(path: path, field: "zstd", reason: "\(error)")
    }
    var lines = LineSplitter(path: path)
    var buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 << 20, alignment: 64)
    defer { buffer.deallocate() }
    var kept = 0
    while true {
      if kept == buffer.count { Self.double(&buffer) }
      let free = UnsafeMutableRawBufferPointer(rebasing: buffer[kept...])
      let count: Int
      do {
        count = try reader.read(into: free)
      } catch {
        throw .invalid(path: path, field: "zstd", reason: "\(error)")
      }
      let filled = UnsafeRawBufferPointer(rebasing: buffer[..<(kept + count)])
      let rest = try lines.feed(filled, body)
      if count < free.count { return try lines.finish(filled[rest...], body) }
      kept = filled.count - rest
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: filled[rest...]))
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
  private var line = 0

  init(path: String) { self.path = path }

  /// Handles the complete lines of `bytes` and returns where the incomplete one begins.
  mutating func feed(
    _ bytes: UnsafeRawBufferPointer,
    _ body: (UnsafeBufferPointer<UInt8>) throws(TokenDataError) -> Void
  ) throws(TokenDataError) -> Int {
    guard let base = bytes.baseAddress else { return 0 }
    var start = 0
    while let found = memchr(base + start, 0x0A, bytes.count - start) {
      let end = UnsafeRawPointer(found) - base
      try handle(bytes[start..<end], body)
      start = end + 1
      if start == bytes.count { break }
    }
    return start
  }

  /// Handles a last line without newline.
  mutating func finish(
    _ rest: Slice<UnsafeRawBufferPointer>,
    _ body: (UnsafeBufferPointer<UInt8>) throws(TokenDataError) -> Void
  ) throws(TokenDataError) {
    if !rest.isEmpty { try handle(rest, body) }
  }

  private mutating func handle(
    _ bytes: Slice<UnsafeRawBufferPointer>,
    _ body: (UnsafeBufferPointer<UInt8>) throws(TokenDataError) -> Void
  ) throws(TokenDataError) {
    line += 1
    var cursor = JSONCursor(
      UnsafeRawBufferPointer(rebasing: bytes), source: "\(path), line \(line)")
    if cursor.peek() == nil { return }
    let text = try parsing { () throws(TensorFileError) in
      var text: String?
      try cursor.object { (cursor, name) throws(TensorFileError) in
        if name == "text" {
          text = try cursor.string()
        } else {
          _ = try cursor.value(allowsNonFinite: true)
        }
      }
      try cursor.expectEnd()
      return text
    }
    guard let text else {
      throw .invalid(path: path, field: "line \(line)", reason: "has no member 'text'")
    }
    // Not `withUTF8`: it does not pass typed errors on.
    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
    defer { copy.deallocate() }
    _ = copy.initialize(from: text.utf8)
    try body(UnsafeBufferPointer(copy))
  }
}
