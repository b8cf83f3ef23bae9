import Compression

/// Tells whether a data set is still the one a run was started with.
///
/// It covers both files' sizes, the whole index, and the first and last MiB of the tokens.
public struct DatasetFingerprint: Sendable, Equatable, Codable, CustomStringConvertible {
  /// Size of the token file in bytes.
  public let tokenBytes: Int

  /// Size of the index file in bytes.
  public let indexBytes: Int

  /// Hash of the index file.
  public let indexHash: String

  /// Hash of the first and the last MiB of the token file.
  public let contentHash: String

  /// One line: what, where, and what to do.
  public var description: String { "\(tokenBytes)-\(indexBytes)-\(indexHash)-\(contentHash)" }

  init(tokens: UnsafeRawBufferPointer, index: UnsafeRawBufferPointer) {
    tokenBytes = tokens.count
    indexBytes = index.count
    indexHash = XXH64.hexadecimal(XXH64.hash(index))
    let edge = min(tokens.count, 1 << 20)
    var hash = XXH64()
    hash.update(UnsafeRawBufferPointer(rebasing: tokens[..<edge]))
    hash.update(UnsafeRawBufferPointer(rebasing: tokens[(tokens.count - edge)...]))
    contentHash = XXH64.hexadecimal(hash.digest())
  }
}
