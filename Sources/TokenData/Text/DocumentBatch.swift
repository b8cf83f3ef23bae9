/// Part of a file: the bytes of some documents, and where each of them is.
struct DocumentBatch: Sendable {
  /// One document as it is stored.
  struct Unit: Sendable {
    /// Its bytes in the batch.
    var range: Range<Int>
    /// The line of the file that it begins in, counted from 1.
    var line: Int
    /// Where in that line, in bytes counted from 1.
    var column = 1
    /// Why it is not to be looked at.
    var problem: String?

    /// Where it begins, for people.
    var place: String { column == 1 ? "line \(line)" : "line \(line), column \(column)" }
  }

  let bytes: ByteBlock
  var units: [Unit]
}

/// Memory for bytes, filled by one thread and read by another.
final class ByteBlock: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  init(byteCount: Int) { bytes = .allocate(byteCount: byteCount, alignment: 64) }

  deinit { bytes.deallocate() }

  subscript(range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes[range])
  }
}

/// Finds documents in the bytes of a file as they come in.
protocol DocumentSplitter {
  /// Appends the documents that are complete in `bytes`.
  ///
  /// - Parameters:
  ///   - bytes: what was not consumed before, and what came in since.
  ///   - isLast: whether nothing follows.
  ///   - units: gets the documents; their ranges count from the start of `bytes`.
  /// - Returns: how many bytes are done with, after which the next documents begin.
  mutating func split(
    _ bytes: UnsafeRawBufferPointer, isLast: Bool, into units: inout [DocumentBatch.Unit]
  ) -> Int

  /// Gives up the document at the start of the bytes, which is too long: what is left of it is passed over.
  ///
  /// - Returns: where it begins; its range is empty.
  mutating func passOver() -> DocumentBatch.Unit
}
