import Foundation

/// A new file being written through a `FileSystem`.
final class OutputFile {
  let path: String
  private(set) var byteCount = 0

  private let fileSystem: FileSystem
  private let expectedByteCount: Int
  private var descriptor: Int32

  /// Creates the file, or empties the one that is there.
  ///
  /// - Parameters:
  ///   - path: where.
  ///   - expectedByteCount: at most how much will be written, to say what a full disk lacks.
  ///   - fileSystem: how.
  /// - Throws: `.io`.
  init(
    _ path: String, expectedByteCount: Int, _ fileSystem: FileSystem
  ) throws(CheckpointError) {
    try fileSystem.begin(.create, path)
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw FileSystem.failure(.create, path) }
    self.path = path
    self.fileSystem = fileSystem
    self.expectedByteCount = expectedByteCount
  }

  deinit {
    if descriptor >= 0 { Foundation.close(descriptor) }
  }

  /// Appends all of `bytes`.
  func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    var rest = bytes
    while !rest.isEmpty {
      let isShort: Bool
      do {
        isShort = try fileSystem.begin(.write, path)
      } catch {
        throw explained(error)
      }
      let count = Foundation.write(
        descriptor, rest.baseAddress, isShort ? max(rest.count / 2, 1) : rest.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw explained(FileSystem.failure(.write, path))
      }
      byteCount += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  /// Makes the contents durable and closes the file; a full disk may only show here.
  func commit() throws(CheckpointError) {
    do throws(CheckpointError) {
      try fileSystem.begin(.sync, path)
      guard fsync(descriptor) == 0 else { throw FileSystem.failure(.sync, path) }
      try fileSystem.begin(.close, path)
      defer { descriptor = -1 }
      guard Foundation.close(descriptor) == 0 else { throw FileSystem.failure(.close, path) }
    } catch {
      throw explained(error)
    }
  }

  /// Adds to a disk-full error how much room was lacking.
  private func explained(_ error: CheckpointError) -> CheckpointError {
    guard case .io(let path, let operation, let code, _) = error, code == ENOSPC || code == EDQUOT
    else { return error }
    var status = statvfs()
    let free = statvfs(path, &status) == 0 ? Int(status.f_bavail) * Int(status.f_frsize) : 0
    let missing = max(expectedByteCount - byteCount - free, 1)
    return .io(path: path, operation: operation, code: code, missingBytes: missing)
  }
}
