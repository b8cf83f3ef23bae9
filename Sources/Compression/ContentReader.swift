import Files

/// Bytes as they are stored, front to back.
public protocol ByteSource: AnyObject {
  /// Reads the next bytes.
  ///
  /// - Parameter output: where to.
  /// - Returns: how many were read; 0 at the end only.
  /// - Throws: `.io`.
  func read(into output: UnsafeMutableRawBufferPointer) throws(FileError) -> Int
}

extension InputFile: ByteSource {}

/// The contents of a file, front to back, whether it is compressed or not.
public protocol ContentReader: AnyObject {
  /// Reads the next bytes of the contents.
  ///
  /// - Parameter output: where to; filled from its start.
  /// - Returns: how many bytes were written; fewer than asked for only at the end.
  /// - Throws: what is wrong with the compressed data; `.file` when reading fails.
  func read(into output: UnsafeMutableRawBufferPointer) throws(CompressionError) -> Int
}

/// How a file is compressed.
public enum CompressionFormat: String, CaseIterable, Sendable {
  case none, zstd, gzip

  /// What a file's first four bytes say.
  ///
  /// Neither zstd's nor gzip's could begin a text: their second bytes do not follow their first ones in
  /// UTF-8. A skippable frame may come before zstd's first one.
  public init(beginning bytes: UnsafeRawBufferPointer) {
    let skippable = bytes.count >= 4 && bytes[0] & 0xF0 == 0x50
    if bytes.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
      self = .zstd
    } else if skippable && bytes.dropFirst().starts(with: [0x2A, 0x4D, 0x18]) {
      self = .zstd
    } else if bytes.starts(with: [0x1F, 0x8B]) {
      self = .gzip
    } else {
      self = .none
    }
  }
}

/// Opens the contents of stored bytes, whose beginning tells how they are compressed.
///
/// - Parameters:
///   - source: the bytes, at their start.
///   - expected: how the file's name says that they are compressed; nil when it says nothing.
/// - Returns: a reader at the start of the contents.
/// - Throws: `.format` when the bytes are not compressed as the name says; `.file`.
public func openContents(
  _ source: any ByteSource, expected: CompressionFormat? = nil
) throws(CompressionError) -> any ContentReader {
  let begun = BegunSource(source)
  let format = CompressionFormat(beginning: try CompressionError.from(try begun.peek()))
  if let expected, expected != .none, format != expected {
    throw .format(
      begun.isEmpty
        ? "holds nothing; was a download cut?" : "is not \(expected)-compressed as its name says")
  }
  switch format {
  case .none: return PlainReader(begun)
  case .zstd: return try DecompressingReader(begun)
  case .gzip: return try GzipReader(begun)
  }
}

/// Bytes of which the first were looked at already.
private final class BegunSource: ByteSource {
  private let source: any ByteSource
  private let first = UnsafeMutableRawBufferPointer.allocate(byteCount: 4, alignment: 4)
  private var unread = 0..<0

  init(_ source: any ByteSource) { self.source = source }

  deinit { first.deallocate() }

  /// Whether there is not a single byte.
  var isEmpty: Bool { unread.isEmpty }

  /// The first four bytes, or all if there are fewer; before anything is read.
  func peek() throws(FileError) -> UnsafeRawBufferPointer {
    var count = 0
    while count < first.count {
      let more = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: first[count...]))
      if more == 0 { break }
      count += more
    }
    unread = 0..<count
    return UnsafeRawBufferPointer(rebasing: first[unread])
  }

  func read(into output: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
    guard !unread.isEmpty else { return try source.read(into: output) }
    let count = min(unread.count, output.count)
    output.copyMemory(
      from: UnsafeRawBufferPointer(rebasing: first[unread.lowerBound..<unread.lowerBound + count]))
    unread = (unread.lowerBound + count)..<unread.upperBound
    return count
  }
}

/// Bytes that are not compressed.
private final class PlainReader: ContentReader {
  private let source: any ByteSource

  init(_ source: any ByteSource) { self.source = source }

  func read(into output: UnsafeMutableRawBufferPointer) throws(CompressionError) -> Int {
    var done = 0
    while done < output.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: output[done...])
      let count = try CompressionError.from(try source.read(into: rest))
      if count == 0 { break }
      done += count
    }
    return done
  }
}
