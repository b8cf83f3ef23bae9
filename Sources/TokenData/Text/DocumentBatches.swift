import Compression
import Files

/// Reads a file's documents in batches that can be worked on apart from each other.
///
/// Memory is bounded by `batchByteCount` and the longest document.
struct DocumentBatches {
  /// Bytes of a batch whose documents are short.
  static let batchByteCount = 1 << 20

  /// The longest document as it is stored, in bytes.
  let longestDocument: Int

  private let input: TextInput
  private let contents: any ContentReader
  private var splitter: any DocumentSplitter
  /// What came in and is not done with, at the start of a block.
  private var block: ByteBlock
  private var filled = 0
  private var (isFirst, isAtEnd) = (true, false)

  /// Opens a file.
  ///
  /// - Parameters:
  ///   - input: the file.
  ///   - source: its stored bytes.
  ///   - longestDocument: bytes that a document may have as it is stored.
  /// - Throws: `.file`, `.invalid`.
  init(
    _ input: TextInput, _ source: HashedSource, longestDocument: Int
  ) throws(TokenDataError) {
    self.input = input
    self.longestDocument = longestDocument
    do throws(CompressionError) {
      contents = try openContents(source, expected: input.compression)
    } catch {
      throw input.error(error)
    }
    switch input.format {
    case .jsonl: splitter = LineSplitter()
    case .json: splitter = JSONSplitter()
    case .txt: splitter = WholeSplitter()
    }
    block = ByteBlock(byteCount: Self.batchByteCount)
  }

  /// The next documents; nil at the end of the file.
  ///
  /// - Throws: `.file`; `.invalid` where compressed data is damaged.
  mutating func next() throws(TokenDataError) -> DocumentBatch? {
    while !isAtEnd {
      try fill()
      var units: [DocumentBatch.Unit] = []
      let bytes = block[0..<filled]
      var done = splitter.split(bytes, isLast: isAtEnd, into: &units)
      let room = block.bytes.count
      if done == 0, !isAtEnd, filled == room, room >= longestDocument {
        units.append(splitter.passOver())
        units[units.count - 1].problem = tooLong
        done = splitter.split(bytes, isLast: false, into: &units)
      }
      for index in units.indices where units[index].range.count > longestDocument {
        units[index].problem = tooLong
      }
      let batch = DocumentBatch(bytes: block, units: units)
      advance(by: done)
      if !units.isEmpty { return batch }
    }
    return nil
  }

  private var tooLong: String {
    "has more than \(longestDocument) bytes, the most that a document may have "
      + "(--longest-document)"
  }

  /// Reads until the block is full or the file at its end.
  private mutating func fill() throws(TokenDataError) {
    let free = UnsafeMutableRawBufferPointer(rebasing: block.bytes[filled...])
    do throws(CompressionError) {
      let count = try contents.read(into: free)
      filled += count
      isAtEnd = count < free.count
    } catch {
      throw input.error(error)
    }
    if isFirst {
      isFirst = false
      if block[0..<filled].starts(with: [0xEF, 0xBB, 0xBF]) {
        block.bytes.copyMemory(from: block[3..<filled])
        filled -= 3
      }
    }
  }

  /// Moves what is not done with to a new block, which has room for more.
  private mutating func advance(by done: Int) {
    let rest = block[done..<filled]
    let needed = min(max(Self.batchByteCount, 2 * rest.count), max(longestDocument, rest.count + 1))
    let next = ByteBlock(byteCount: max(Self.batchByteCount, needed))
    next.bytes.copyMemory(from: rest)
    (block, filled) = (next, rest.count)
  }
}
