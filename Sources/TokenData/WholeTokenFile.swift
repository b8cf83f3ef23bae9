import Compression
import Files

/// A token file that is hashed from end to end.
public struct WholeTokenFile: Sendable {
  /// Where it is.
  public var path: String { file.path }

  /// What is compared of it when a run starts.
  public let fingerprint: DatasetFingerprint

  /// The hash that its manifest records; nil without one.
  public let recorded: String?

  private let file: MappedFile

  init(_ file: MappedFile, fingerprint: DatasetFingerprint, recorded: String?) {
    (self.file, self.fingerprint, self.recorded) = (file, fingerprint, recorded)
  }

  /// The XXH64 of all of it.
  ///
  /// - Parameter isStopping: asked every few MiB; once it says true there is no hash.
  /// - Returns: 16 hexadecimal digits.
  public func hash(isStopping: () -> Bool = { false }) -> String? {
    var hash = XXH64()
    let step = 1 << 22
    for start in stride(from: 0, to: file.byteCount, by: step) {
      guard !isStopping() else { return nil }
      let range = start..<min(start + step, file.byteCount)
      hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
    }
    return XXH64.hexadecimal(hash.digest())
  }
}
