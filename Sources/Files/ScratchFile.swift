import ErrorReporting
import Foundation

/// Numbers on disk that belong to this process and disappear with it.
///
/// The file loses its name as soon as it is made, so nothing is left behind however the process
/// ends. Its space is allocated at once, so that a full disk is noticed when the file is made and
/// not in the middle of the work. Reads and writes do not add to the process's memory: the kernel
/// caches the data and drops it when memory is short.
public final class ScratchFile {
  /// The directory that the file lies in, for messages.
  public let directory: String
  /// Floats that fit.
  public let count: Int

  private let descriptor: Int32

  /// Makes a file of `count` floats.
  ///
  /// - Throws: `.io` when the directory cannot be written or has not enough room.
  public init(directory: String, count: Int) throws(FileError) {
    self.directory = directory
    self.count = count
    try begin(.create, directory)
    var path = Array((directory + "/.statex-states-XXXXXX").utf8CString)
    descriptor = mkstemp(&path)
    guard descriptor >= 0 else {
      throw .io(path: directory, operation: "create a scratch file in", code: errno)
    }
    unlink(path)
    try begin(.allocate, directory)
    let code = posix_fallocate(descriptor, 0, off_t(count * MemoryLayout<Float>.stride))
    guard code == 0 else {
      throw .io(
        path: directory,
        operation: "take \(count * MemoryLayout<Float>.stride) bytes of scratch space in",
        code: code)
    }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
  }

  /// Writes `count` floats at float `offset`.
  public func write(
    _ values: UnsafePointer<Float>, count: Int, at offset: Int
  ) throws(FileError) {
    try transfer(count, offset, .write) { descriptor, done, bytes, position in
      pwrite(descriptor, UnsafeRawPointer(values) + done, bytes, position)
    }
  }

  /// Reads `count` floats from float `offset` on.
  public func read(
    into values: UnsafeMutablePointer<Float>, count: Int, at offset: Int
  ) throws(FileError) {
    try transfer(count, offset, .read) { descriptor, done, bytes, position in
      pread(descriptor, UnsafeMutableRawPointer(values) + done, bytes, position)
    }
  }

  /// Calls `body` (descriptor, bytes done, bytes left, file position) until all bytes have gone
  /// through.
  private func transfer(
    _ count: Int, _ offset: Int, _ call: FileCall, _ body: (Int32, Int, Int, off_t) -> Int
  ) throws(FileError) {
    require(
      offset >= 0 && offset + count <= self.count,
      "\(count) floats from \(offset) on, of a scratch file of \(self.count)")
    let size = MemoryLayout<Float>.stride
    var done = 0
    while done < count * size {
      let isShort = try begin(call, directory)
      let rest = count * size - done
      let moved = body(
        descriptor, done, isShort ? max(rest / 2, 1) : rest, off_t(offset * size + done))
      if moved < 0 && errno == EINTR { continue }
      guard moved > 0 else {
        let code = moved < 0 ? errno : EIO
        throw .io(path: directory, operation: call.rawValue + " a scratch file in", code: code)
      }
      done += moved
    }
  }
}
