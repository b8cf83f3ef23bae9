import CZstd

/// One zstd frame inside a file.
public struct CompressedFrame: Sendable, Equatable {
  /// Where the frame lies in the compressed data.
  public let compressedRange: Range<Int>

  /// Which bytes of the contents it holds.
  public let contentRange: Range<Int>
}

/// Decompresses frames that declare their size, as `FrameCompressor` writes them.
///
/// Not thread safe. One context, reused.
public final class FrameDecompressor {
  private let context: OpaquePointer

  /// Prepares a decompressor.
  public init() throws(CompressionError) {
    guard let context = ZSTD_createDCtx() else {
      throw .zstd(operation: "createDCtx", message: "out of memory")
    }
    self.context = context
  }

  deinit { ZSTD_freeDCtx(context) }

  /// Finds the frames of `bytes` without decompressing them.
  ///
  /// - Parameters:
  ///   - bytes: whole frames, one after the other.
  ///   - contentByteCount: what the frames must hold together, exactly.
  ///   - frameLimit: the most that one frame may hold.
  /// - Returns: the frames in order.
  /// - Throws: when a frame is damaged, is cut, does not declare its size, declares more than
  ///   `frameLimit`, or when the sizes do not add up. Nothing is allocated for contents, so a small
  ///   file that claims to hold terabytes is refused at no cost.
  public static func frames(
    in bytes: UnsafeRawBufferPointer, contentByteCount: Int,
    frameLimit: Int = FrameCompressor.chunkByteCount
  ) throws(CompressionError) -> [CompressedFrame] {
    var frames: [CompressedFrame] = []
    var offset = 0
    var content = 0
    while offset < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
      let declared = try contentSize(rest, offset: offset)
      guard declared <= UInt64(frameLimit), content + Int(declared) <= contentByteCount else {
        throw .tooLarge(
          claimed: declared, limit: min(frameLimit, max(contentByteCount - content, 0)))
      }
      let size = ZSTD_findFrameCompressedSize(rest.baseAddress, rest.count)
      guard ZSTD_isError(size) == 0 else { throw .truncated(offset: offset) }
      frames.append(
        CompressedFrame(
          compressedRange: offset..<(offset + size),
          contentRange: content..<(content + Int(declared))))
      offset += size
      content += Int(declared)
    }
    guard content == contentByteCount else {
      throw .contentSize(
        reason: "the frames hold \(content) bytes, \(contentByteCount) are expected")
    }
    return frames
  }

  /// Decompresses one frame.
  ///
  /// - Parameters:
  ///   - frame: the frame's bytes, nothing before or after them.
  ///   - output: the memory for exactly its contents; nothing is written beyond.
  /// - Throws: when the data is damaged (zstd's content checksum is verified) or its size is not
  ///   that of `output`.
  public func decompress(
    _ frame: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) throws(CompressionError) {
    let declared = try Self.contentSize(frame, offset: 0)
    guard declared == UInt64(output.count) else {
      throw .contentSize(
        reason: "a frame declares \(declared) bytes, \(output.count) are expected")
    }
    let count = try check(
      ZSTD_decompressDCtx(
        context, output.baseAddress, output.count, frame.baseAddress, frame.count), "decompress")
    guard count == output.count else {
      throw .contentSize(reason: "a frame holds \(count) bytes, \(output.count) are expected")
    }
  }

  private static func contentSize(
    _ frame: UnsafeRawBufferPointer, offset: Int
  ) throws(CompressionError) -> UInt64 {
    let size = ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
    // The two sentinels are (0 - 1) and (0 - 2), macros that Swift does not import.
    if size == .max { throw .contentSize(reason: "the frame at \(offset) declares no size") }
    if size == .max - 1 {
      throw .zstd(operation: "read frame", message: "no zstd frame at byte \(offset)")
    }
    return size
  }
}
