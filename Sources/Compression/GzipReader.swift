import CZlib
import Files

/// Reads a gzip file front to back, one member after the other.
///
/// Memory stays bounded whatever the file claims. zlib checks each member's CRC and length. Not thread safe.
public final class GzipReader: ContentReader {
  /// zlib's largest window, and that a gzip header is expected.
  private static let windowBits: Int32 = 15 + 16

  private let stream: UnsafeMutablePointer<z_stream>
  private let file: any ByteSource
  private let input: UnsafeMutableRawBufferPointer
  private var consumed = 0
  private var isInsideMember = false
  private var hasBegun = false
  /// Whether zeros follow the last member, as tape blocks have them.
  private var isPadding = false

  /// Prepares to read.
  ///
  /// - Parameter file: the stored bytes, at their start.
  /// - Throws: `.gzip` when memory is short.
  public init(_ file: any ByteSource) throws(CompressionError) {
    self.file = file
    input = .allocate(byteCount: 1 << 17, alignment: 64)
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    let code = inflateInit2_(
      stream, Self.windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    guard code == Z_OK else {
      input.deallocate()
      stream.deallocate()
      throw .gzip("out of memory")
    }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
    input.deallocate()
  }

  /// Reads the next bytes of the contents.
  ///
  /// - Parameter output: where to; filled from its start.
  /// - Returns: how many bytes were written; fewer than asked for only at the end of the file.
  /// - Throws: `.truncated` when the file ends inside a member, `.gzip` on damaged data, `.file`.
  public func read(into output: UnsafeMutableRawBufferPointer) throws(CompressionError) -> Int {
    guard let base = output.baseAddress else { return 0 }
    var done = 0
    while done < output.count {
      if stream.pointee.avail_in == 0, try !fill() {
        guard !isInsideMember else { throw .truncated(offset: consumed) }
        break
      }
      if !isInsideMember, try !beginMember() { continue }
      let room = min(output.count - done, 1 << 30)
      stream.pointee.next_out = (base + done).assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(room)
      let code = inflate(stream, Z_NO_FLUSH)
      done += room - Int(stream.pointee.avail_out)
      switch code {
      case Z_OK: continue
      case Z_STREAM_END: isInsideMember = false
      case Z_BUF_ERROR where stream.pointee.avail_in == 0: continue
      default: throw failure(code)
      }
    }
    return done
  }

  /// Prepares for another member; false after taking in padding.
  private func beginMember() throws(CompressionError) -> Bool {
    if hasBegun {
      while stream.pointee.avail_in > 0, let next = stream.pointee.next_in, next.pointee == 0 {
        isPadding = true
        stream.pointee.next_in = next + 1
        stream.pointee.avail_in -= 1
      }
      guard stream.pointee.avail_in > 0 else { return false }
      guard !isPadding else { throw .gzip("bytes after the end") }
      let code = inflateReset(stream)
      guard code == Z_OK else { throw failure(code) }
    }
    hasBegun = true
    isInsideMember = true
    return true
  }

  private func failure(_ code: Int32) -> CompressionError {
    .gzip(stream.pointee.msg.map { String(cString: $0) } ?? "code \(code)")
  }

  private func fill() throws(CompressionError) -> Bool {
    let count = try CompressionError.from(try file.read(into: input))
    consumed += count
    stream.pointee.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_in = UInt32(count)
    return count > 0
  }
}
