import CZstd

/// Turns a stream of bytes into independent zstd frames of a fixed amount of input each.
///
/// Each frame declares its content size and carries zstd's content checksum. It depends on its own
/// input only (no worker threads), so equal input gives equal bytes, a reader may take frames one by
/// one, and any zstd tool decompresses their concatenation.
///
/// Used as a pull loop, so that the caller owns the writing:
/// ```swift
/// var rest = bytes
/// while let frame = try compressor.next(&rest) { try write(frame) }
/// ...
/// if let frame = try compressor.finish() { try write(frame) }
/// ```
/// Not thread safe. Holds one context and two buffers of about `chunkByteCount`, all reused.
public final class FrameCompressor {
  /// Bytes of input in every frame but the last.
  public static let chunkByteCount = 8 << 20

  private let context: OpaquePointer
  private let input: UnsafeMutableRawBufferPointer
  private let output: UnsafeMutableRawBufferPointer
  private var pending = 0

  /// Prepares a compressor.
  ///
  /// - Parameter level: zstd's level, negative for its fast modes.
  /// - Throws: `.zstd` when the level is out of range or memory is short.
  public init(level: Int32) throws(CompressionError) {
    guard let context = ZSTD_createCCtx() else {
      throw .zstd(operation: "createCCtx", message: "out of memory")
    }
    self.context = context
    input = .allocate(byteCount: Self.chunkByteCount, alignment: 64)
    output = .allocate(byteCount: ZSTD_compressBound(Self.chunkByteCount), alignment: 64)
    let bounds = ZSTD_cParam_getBounds(ZSTD_c_compressionLevel)
    guard (bounds.lowerBound...bounds.upperBound).contains(level) else {
      throw .zstd(operation: "setParameter", message: "level \(level) is out of range")
    }
    try check(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level), "setParameter")
    try check(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1), "setParameter")
    try check(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1), "setParameter")
    try check(ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, 0), "setParameter")
  }

  deinit {
    ZSTD_freeCCtx(context)
    input.deallocate()
    output.deallocate()
  }

  /// Takes bytes from the front of `rest`.
  ///
  /// - Parameter rest: the bytes not yet taken; empty afterwards when nil is returned.
  /// - Returns: a complete frame, valid until the next call, or nil when all bytes were taken.
  /// - Throws: `.zstd` when memory is short.
  public func next(
    _ rest: inout UnsafeRawBufferPointer
  ) throws(CompressionError) -> UnsafeRawBufferPointer? {
    let taken = min(input.count - pending, rest.count)
    UnsafeMutableRawBufferPointer(rebasing: input[pending...])
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<taken]))
    pending += taken
    rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
    return pending == input.count ? try frame() : nil
  }

  /// Compresses what is left, making the compressor ready for another stream.
  ///
  /// - Returns: the last frame, valid until the next call, or nil when nothing is left.
  /// - Throws: `.zstd` when memory is short.
  public func finish() throws(CompressionError) -> UnsafeRawBufferPointer? {
    pending > 0 ? try frame() : nil
  }

  private func frame() throws(CompressionError) -> UnsafeRawBufferPointer {
    let code = ZSTD_compress2(
      context, output.baseAddress, output.count, input.baseAddress, pending)
    pending = 0
    let count = try check(code, "compress")
    return UnsafeRawBufferPointer(rebasing: output[..<count])
  }
}
