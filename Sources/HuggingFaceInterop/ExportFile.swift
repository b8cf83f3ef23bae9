import Foundation
import TensorFiles

/// A new file that is written from front to back and flushed to the disk.
struct ExportFile: ~Copyable {
  private let path: String
  private let descriptor: Int32

  /// Creates the file.
  ///
  /// - Throws: when it exists already or cannot be created.
  init(creating path: String) throws(InteropError) {
    descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileSystem.failure(path, "create the file") }
    self.path = path
  }

  deinit { close(descriptor) }

  /// Appends bytes.
  func write(_ bytes: UnsafeRawBufferPointer) throws(InteropError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      // One call moves at most 2 GiB anyway.
      let written = Foundation.write(
        descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, min(rest.count, 1 << 30))
      guard written > 0 else {
        if written < 0, errno == EINTR { continue }
        throw FileSystem.failure(path, "write \(rest.count) more bytes")
      }
      rest = rest.dropFirst(written)
    }
  }

  /// Flushes everything to the disk.
  func synchronize() throws(InteropError) {
    guard fsync(descriptor) == 0 else { throw FileSystem.failure(path, "flush the file") }
  }

  /// Appends bytes.
  func write(_ bytes: [UInt8]) throws(InteropError) {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    try write(UnsafeRawBufferPointer(copy))
  }

  /// Writes a whole file.
  static func write(_ bytes: [UInt8], to path: String) throws(InteropError) {
    let file = try ExportFile(creating: path)
    try file.write(bytes)
    try file.synchronize()
  }

  /// Copies a file's contents; a link is copied as the file it points to.
  static func copy(_ source: String, to path: String) throws(InteropError) {
    let mapped: MappedFile
    do {
      mapped = try MappedFile(path: source)
      try mapped.requireFetched()
    } catch {
      throw InteropError(error)
    }
    let file = try ExportFile(creating: path)
    try file.write(mapped.bytes)
    try file.synchronize()
  }
}
