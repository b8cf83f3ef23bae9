/// The few lines that stand where Git LFS has not fetched a file.
public enum GitLFSPointer {
  private static let signature = Array("version https://git-lfs.github.com/spec/".utf8)

  /// Refuses contents that are a pointer to those that were meant.
  ///
  /// - Parameters:
  ///   - bytes: a file from its start.
  ///   - source: its path, for the error.
  /// - Throws: `.invalid`, saying how the file is fetched.
  public static func refuse(
    _ bytes: UnsafeRawBufferPointer, source: String
  ) throws(FileError) {
    guard bytes.count >= signature.count, bytes.prefix(signature.count).elementsEqual(signature)
    else { return }
    throw .invalid(
      path: source, field: "contents",
      reason: "this is a Git LFS pointer, not the file itself; fetch it with: git lfs pull")
  }
}

extension MappedFile {
  /// Requires that the file is not a pointer of Git LFS to the one that was meant.
  ///
  /// - Throws: `.invalid`, saying how the file is fetched.
  public func requireFetched() throws(FileError) {
    try GitLFSPointer.refuse(bytes, source: path)
  }
}
