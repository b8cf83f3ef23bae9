import CZstd
import Files

/// Reads any zstd file front to back, frame sizes declared or not.
///
/// Memory stays bounded whatever the file claims: two fixed buffers, and zstd's window of at most
/// 128 MiB. Not thread safe.
public final class DecompressingReader: ContentReader {
  private let context: OpaquePointer
  private let file: any ByteSource
  private let limit: Int
  private let input: UnsafeMutableRawBufferPointer
  private var unread: Range<Int> = 0..<0
  private var produced = 0
  private var consumed = 0
  private var isInsideFrame = false

  /// Prepares to read.
  ///
  /// - Parameters:
  ///   - file: the stored bytes, at their first frame.
  ///   - limit: the most bytes of contents to accept; more is an error.
  /// - Throws: `.zstd` when memory is short.
  public init(_ file: any ByteSource, limit: Int = .max) throws(CompressionError) {
    guard let context = ZSTD_createDCtx() else {
      throw .zstd(operation: "createDCtx", message: "out of memory")
    }
    self.context = context
    self.file = file
    self.limit = limit
    input = .allocate(byteCount: ZSTD_DStreamInSize(), alignment: 64)
  }

  deinit {
    ZSTD_freeDCtx(context)
    input.deallocate()
  }

  /// Reads the next bytes of the contents.
  ///
  /// - Parameter output: where to; filled from its start.
  /// - Returns: how many bytes were written; fewer than asked for only at the end of the file.
  /// - Throws: `.truncated` when the file ends inside a frame, `.tooLarge` beyond the limit,
  ///   `.zstd` on damaged data, `.file` when reading fails.
  public func read(into output: UnsafeMutableRawBufferPointer) throws(CompressionError) -> Int {
    var out = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
    while out.pos < out.size {
      if unread.isEmpty, try !fill() {
        // zstd may still hold decompressed bytes; without progress the file is over.
        let before = out.pos
        try step(&out)
        if out.pos > before { continue }
        guard !isInsideFrame else { throw .truncated(offset: consumed) }
        break
      }
      try step(&out)
    }
    produced += out.pos
    guard produced <= limit else { throw .tooLarge(claimed: UInt64(produced), limit: limit) }
    return out.pos
  }

  /// Lets zstd take unread input and write output.
  private func step(_ out: inout ZSTD_outBuffer) throws(CompressionError) {
    guard !unread.isEmpty || isInsideFrame else { return }
    var source = ZSTD_inBuffer(
      src: input.baseAddress, size: unread.upperBound, pos: unread.lowerBound)
    let hint = try check(ZSTD_decompressStream(context, &out, &source), "decompress")
    consumed += source.pos - unread.lowerBound
    unread = source.pos..<unread.upperBound
    isInsideFrame = hint != 0
  }

  /// Reads from the file; false at its end.
  private func fill() throws(CompressionError) -> Bool {
    let count = try CompressionError.from(try file.read(into: input))
    unread = 0..<count
    return count > 0
  }
}
