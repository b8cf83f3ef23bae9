import CZstd
import Files

/// What can go wrong with compressed data.
public enum CompressionError: FileErrorConvertible, Equatable, Sendable {
  /// zstd reports damaged or foreign data, or bad parameters.
  case zstd(operation: String, message: String)

  /// zlib reports damaged data.
  case gzip(String)

  /// The data is not compressed as it should be.
  case format(String)

  /// The input ends inside a frame.
  case truncated(offset: Int)

  /// The data claims to hold, or holds, more than the caller accepts.
  case tooLarge(claimed: UInt64, limit: Int)

  /// A frame that should declare the size of its contents does not, or declares another size.
  case contentSize(reason: String)

  /// The compressed file could not be read.
  case file(FileError)

  /// One line; the caller adds the file's name.
  public var description: String {
    switch self {
    case .zstd(let operation, let message): "zstd \(operation) failed: \(message)"
    case .gzip(let message): "gzip: \(message)"
    case .format(let reason): reason
    case .truncated(let offset): "the compressed data is cut at byte \(offset)"
    case .tooLarge(let claimed, let limit):
      "the compressed data claims \(claimed) bytes where at most \(limit) are expected"
    case .contentSize(let reason): reason
    case .file(let error): error.description
    }
  }

  /// The exit code of a command that ends with this error: 74 for I/O, 65 for bad data.
  public var exitCode: Int32 {
    if case .file(let error) = self { return error.exitCode }
    return 65
  }
}

/// The one place where a zstd return code becomes an error.
@discardableResult
func check(_ code: Int, _ operation: String) throws(CompressionError) -> Int {
  guard ZSTD_isError(code) == 0 else {
    throw .zstd(operation: operation, message: String(cString: ZSTD_getErrorName(code)))
  }
  return code
}
