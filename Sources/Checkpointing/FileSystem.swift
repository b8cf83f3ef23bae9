import Foundation

/// The file-system calls of this room, each with its error check and a place to inject faults.
///
/// A fault hook makes saves testable: it is asked before every call and may let it fail, write
/// short, or "crash" the process, after which every call fails and so nothing is cleaned up.
package final class FileSystem {
  /// A kind of call.
  package enum Operation: String, Sendable {
    case createDirectory = "create directory"
    case create = "create"
    case write = "write"
    case sync = "sync"
    case close = "close"
    case rename = "rename"
    case exchange = "exchange"
    case remove = "remove"
    case list = "list"
    case status = "stat"
  }

  /// What a hook may do to a call.
  package enum Fault: Sendable {
    /// The call fails with this error number.
    case fail(Int32)
    /// Only half of the bytes are written, which the kernel may always do.
    case shortWrite
    /// The process dies before the call.
    case crash
  }

  /// Asked before each call.
  package typealias Hook = (Operation, _ path: String) -> Fault?

  private let hook: Hook?
  private var isDead = false

  /// A file system with an optional fault hook.
  package init(hook: Hook? = nil) {
    self.hook = hook
  }

  static func failure(
    _ operation: Operation, _ path: String, _ code: Int32 = errno
  ) -> CheckpointError {
    .io(path: path, operation: operation.rawValue, code: code, missingBytes: nil)
  }

  /// Asks the hook; true when the write should be short.
  @discardableResult
  func begin(_ operation: Operation, _ path: String) throws(CheckpointError) -> Bool {
    let fault = isDead ? .crash : hook?(operation, path)
    switch fault {
    case nil: return false
    case .shortWrite: return true
    case .fail(let code): throw Self.failure(operation, path, code)
    case .crash:
      isDead = true
      throw Self.failure(operation, path, ECANCELED)
    }
  }

  private func check(
    _ result: Int32, _ operation: Operation, _ path: String
  ) throws(CheckpointError) {
    guard result == 0 else { throw Self.failure(operation, path) }
  }

  /// Creates a directory; false if there is one already.
  @discardableResult
  func createDirectory(_ path: String) throws(CheckpointError) -> Bool {
    try begin(.createDirectory, path)
    if mkdir(path, 0o777) == 0 { return true }
    guard errno == EEXIST else { throw Self.failure(.createDirectory, path) }
    return false
  }

  /// Makes the entries of a directory durable.
  func syncDirectory(_ path: String) throws(CheckpointError) {
    try begin(.sync, path)
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.failure(.sync, path) }
    defer { close(descriptor) }
    // Some network file systems have no such call for directories and say EINVAL.
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw Self.failure(.sync, path) }
  }

  /// Renames a file or directory.
  func rename(_ path: String, to target: String) throws(CheckpointError) {
    try begin(.rename, path)
    try check(Foundation.rename(path, target), .rename, path)
  }

  /// Swaps two directories in one step; false if the file system cannot.
  func exchange(_ path: String, _ other: String) throws(CheckpointError) -> Bool {
    do {
      try begin(.exchange, path)
    } catch .io(_, _, EINVAL, _) {
      return false
    }
    guard let renameat2 = Self.renameat2 else { return false }
    let renameExchange: UInt32 = 2  // RENAME_EXCHANGE
    if renameat2(AT_FDCWD, path, AT_FDCWD, other, renameExchange) == 0 { return true }
    guard [EINVAL, ENOSYS, ENOTSUP].contains(errno) else { throw Self.failure(.exchange, path) }
    return false
  }

  /// The C library's `renameat2`, which Swift's Glibc module leaves out.
  private static let renameat2: RenameAt2? = dlsym(nil, "renameat2").map {
    unsafeBitCast($0, to: RenameAt2.self)
  }

  private typealias RenameAt2 =
    @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32

  /// The names in a directory, sorted; empty if there is no such directory.
  func list(_ path: String) throws(CheckpointError) -> [String] {
    try begin(.list, path)
    guard let directory = opendir(path) else {
      if errno == ENOENT { return [] }
      throw Self.failure(.list, path)
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The size of a file or directory; nil if there is none.
  func byteCount(_ path: String) throws(CheckpointError) -> Int? {
    try begin(.status, path)
    var status = stat()
    if lstat(path, &status) == 0 { return Int(status.st_size) }
    guard errno == ENOENT || errno == ENOTDIR else { throw Self.failure(.status, path) }
    return nil
  }

  /// Removes a file, or a directory with all that is in it; nothing happens if there is none.
  func removeTree(_ path: String) throws(CheckpointError) {
    try begin(.remove, path)
    if unlink(path) == 0 || errno == ENOENT { return }
    guard errno == EISDIR || errno == EPERM else { throw Self.failure(.remove, path) }
    for name in try list(path) { try removeTree(path + "/" + name) }
    try begin(.remove, path)
    guard rmdir(path) == 0 || errno == ENOENT else { throw Self.failure(.remove, path) }
  }
}
