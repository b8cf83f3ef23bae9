import Foundation
import SystemPackage

/// A whole file, mapped read-only into memory.
///
/// Pages are read when they are first touched. The mapping lives as long as this object; a slice must
/// not outlive it. When the file is made shorter while it is mapped, the next touch of the missing part ends
/// the process with one line (`MappingFault`).
public final class MappedFile: @unchecked Sendable {
  /// The path given to `init`.
  public let path: String

  /// The file's contents.
  public let bytes: UnsafeRawBufferPointer

  /// The file's size.
  public var byteCount: Int { bytes.count }

  private let status: Stat

  /// Maps the regular file at `path`.
  ///
  /// - Throws: `.io` when it cannot be opened or mapped, `.invalid` when it is not a regular file.
  public init(path: String) throws(FileError) {
    let descriptor = try perform(.open, path) {
      // Nobody may ever write to a pipe of that name.
      try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
    }
    defer { try? descriptor.close() }
    let status = try perform(.status, path) { try descriptor.stat() }
    guard status.type == .regular else {
      throw .invalid(path: path, field: "file type", reason: "not a regular file")
    }
    self.path = path
    self.status = status
    let size = Int(status.size)
    guard size > 0 else {  // mmap refuses empty mappings
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    let mapped = try perform(.map, path) {
      let mapped = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor.rawValue, 0)
      guard let mapped, mapped != MAP_FAILED else { throw Errno(rawValue: errno) }
      return mapped
    }
    bytes = UnsafeRawBufferPointer(start: mapped, count: size)
    MappingFault.watch(bytes, path: path)
  }

  deinit {
    if let start = bytes.baseAddress {
      MappingFault.forget(bytes)
      munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
    }
  }

  /// Whether the file that is mapped is still the one at `path`, and not its replacement.
  ///
  /// - Throws: `.io` when the system cannot tell.
  public func isInPlace() throws(FileError) -> Bool {
    let named = try FileSystem.status(path, followingLinks: true)
    return status.inode == named?.inode && status.deviceID == named?.deviceID
  }

  /// The bytes `range` of the file.
  ///
  /// - Parameters:
  ///   - range: byte offsets in the file.
  ///   - field: what lies there, for the error message.
  /// - Returns: the bytes, valid while this object lives.
  /// - Throws: `.invalid` when the file is too short.
  public func slice(_ range: Range<Int>, field: String) throws(FileError)
    -> UnsafeRawBufferPointer
  {
    guard range.lowerBound >= 0, range.upperBound <= byteCount else {
      throw .invalid(
        path: path, field: field,
        reason: "bytes \(range.lowerBound)..<\(range.upperBound) lie outside the file,"
          + " which has \(byteCount): it is truncated or not what its header says")
    }
    return UnsafeRawBufferPointer(rebasing: bytes[range])
  }

  /// Tells the kernel that the whole pages in `range` are not needed any more.
  public func releasePages(_ range: Range<Int>) {
    guard let base = bytes.baseAddress else { return }
    let page = 4096
    let first = (range.lowerBound + page - 1) / page * page
    let last = range.upperBound / page * page
    guard first < last else { return }
    madvise(UnsafeMutableRawPointer(mutating: base + first), last - first, MADV_DONTNEED)
  }

  /// Tells the kernel that the file will be read from front to back.
  public func adviseSequential() {
    if let start = bytes.baseAddress {
      _ = madvise(UnsafeMutableRawPointer(mutating: start), bytes.count, MADV_SEQUENTIAL)
    }
  }
}
