import Foundation
import SystemPackage

/// The kernel's lock (`flock`) on a file or directory, held until `release` or the end of the process.
///
/// The kernel releases it when the holder ends for any reason, on every machine that shares the file
/// system.
public final class FileLock {
  /// Whether the lock was free.
  public enum State: Sendable {
    case held
    case heldElsewhere
    /// The file system has no locks.
    case unsupported
  }

  /// Where the file is.
  public let path: String

  /// The outcome.
  public let state: State

  private let descriptor: FileDescriptor
  private var isOpen = true

  /// Tries to lock a file, which is made if absent; does not wait.
  ///
  /// - Throws: `.io`, also when a link stands there: what it points to is not ours to write to.
  public convenience init(file path: String) throws(FileError) {
    let descriptor = try perform(.open, path) {
      try FileDescriptor.open(
        path, .readWrite, options: [.create, .closeOnExec, .noFollow],
        permissions: [.ownerReadWrite, .groupReadWrite, .otherReadWrite])
    }
    try self.init(path, descriptor)
  }

  /// Tries to lock an existing file or directory.
  ///
  /// - Parameters:
  ///   - path: a file or directory.
  ///   - waiting: whether to wait for another holder.
  /// - Throws: `.io`.
  public convenience init(existing path: String, waiting: Bool = false) throws(FileError) {
    let descriptor = try perform(.open, path) {
      try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
    }
    try self.init(path, descriptor, waiting: waiting)
  }

  private init(
    _ path: String, _ descriptor: FileDescriptor, waiting: Bool = false
  ) throws(FileError) {
    self.path = path
    self.descriptor = descriptor
    do throws(FileError) {
      state = try Self.lock(descriptor, path, waiting: waiting)
    } catch {
      try? descriptor.close()
      throw error
    }
  }

  /// Tries to lock an open file until it is closed.
  static func lock(
    _ descriptor: FileDescriptor, _ path: String, waiting: Bool = false
  ) throws(FileError) -> State {
    do {
      try perform(.lock, path) {
        while flock(descriptor.rawValue, waiting ? LOCK_EX : LOCK_EX | LOCK_NB) != 0 {
          guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
      }
      return .held
    } catch .io(_, _, EWOULDBLOCK, _) {
      return .heldElsewhere
    } catch .io(_, _, let code, _) where [ENOSYS, ENOLCK, EOPNOTSUPP].contains(code) {
      return .unsupported
    }
  }

  deinit { release() }

  /// The first 4096 bytes of the locked file.
  ///
  /// - Throws: `.io`.
  public func text() throws(FileError) -> [UInt8] {
    try perform(.read, path) {
      try [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
        count = try descriptor.read(
          fromAbsoluteOffset: 0, into: UnsafeMutableRawBufferPointer(buffer))
      }
    }
  }

  /// Replaces the locked file's contents.
  ///
  /// - Throws: `.io`.
  public func write(_ bytes: [UInt8]) throws(FileError) {
    try perform(.write, path) {
      try descriptor.resize(to: 0)
      try descriptor.writeAll(toAbsoluteOffset: 0, bytes)
    }
  }

  /// Releases the lock.
  public func release() {
    guard isOpen else { return }
    isOpen = false
    try? descriptor.close()
  }
}
