import Foundation
import SystemPackage

/// A new file that is written from front to back.
///
/// Small pieces are gathered; nothing is durable before `synchronize` or `commit`. Not thread safe.
public final class OutputFile {
  /// Where it is.
  public let path: String

  /// Bytes written so far.
  public private(set) var byteCount = 0

  private let expectedByteCount: Int
  private let descriptor: FileDescriptor
  private let isSpecial: Bool
  private var isOpen = true
  private var gathered: [UInt8] = []
  private static let gatheredByteCount = 1 << 20

  /// Creates the file.
  ///
  /// - Parameters:
  ///   - path: where; nothing may be there.
  ///   - expectedByteCount: at most how much will be written, to say what a full disk lacks.
  /// - Throws: `.io`.
  public convenience init(
    creating path: String, expectedByteCount: Int = 0
  ) throws(FileError) {
    try self.init(path, .create, [.create, .exclusiveCreate], expectedByteCount)
  }

  /// Opens a device or pipe.
  convenience init(special path: String) throws(FileError) {
    try self.init(path, .open, [], 0)
  }

  /// Writes a whole new file, durably.
  public static func write(_ bytes: [UInt8], creating path: String) throws(FileError) {
    let file = try OutputFile(creating: path, expectedByteCount: bytes.count)
    try file.write(bytes)
    try file.commit()
  }

  private init(
    _ path: String, _ call: FileCall, _ options: FileDescriptor.OpenOptions,
    _ expectedByteCount: Int
  ) throws(FileError) {
    descriptor = try perform(call, path) {
      try FileDescriptor.open(
        path, .writeOnly, options: options.union(.closeOnExec),
        permissions: [.ownerReadWrite, .groupReadWrite, .otherReadWrite])
    }
    self.path = path
    self.expectedByteCount = expectedByteCount
    isSpecial = call == .open
  }

  deinit {
    if isOpen { try? descriptor.close() }
  }

  /// Appends bytes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    byteCount += bytes.count
    if gathered.count + bytes.count > Self.gatheredByteCount { try flush() }
    if bytes.count >= Self.gatheredByteCount {
      try writeOut(bytes)
    } else {
      gathered.append(contentsOf: bytes)
    }
  }

  /// Appends bytes.
  public func write(_ bytes: [UInt8]) throws(FileError) {
    try withTypedBytes(bytes) { bytes throws(FileError) in try write(bytes) }
  }

  /// Appends integers, the lowest byte of each first.
  @inlinable
  public func write(littleEndian integers: [some FixedWidthInteger]) throws(FileError) {
    guard let width = integers.first.map({ $0.bitWidth / 8 }) else { return }
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: integers.count * width, alignment: 16)
    defer { bytes.deallocate() }
    for (index, integer) in integers.enumerated() {
      bytes.storeBytes(of: integer.littleEndian, toByteOffset: index * width, as: type(of: integer))
    }
    try write(UnsafeRawBufferPointer(bytes))
  }

  /// Makes what was written durable.
  public func synchronize() throws(FileError) {
    try flush()
    do throws(FileError) {
      try perform(.sync, path) { try check(fsync(descriptor.rawValue)) }
    } catch {
      throw explained(error)
    }
  }

  /// Makes the contents durable and closes the file; a full disk may only show here.
  public func commit() throws(FileError) {
    try synchronize()
    try close()
  }

  /// Writes everything out and closes the file, durable or not.
  func close() throws(FileError) {
    try flush()
    do throws(FileError) {
      try perform(.close, path) {
        isOpen = false
        try descriptor.close()
      }
    } catch {
      throw explained(error)
    }
  }

  /// Tries to lock the file until it is closed.
  func lock() throws(FileError) -> FileLock.State { try FileLock.lock(descriptor, path) }

  /// Whether the file is still under its name.
  func isInPlace() throws(FileError) -> Bool {
    let own = try perform(.status, path) { try descriptor.stat() }
    let named = try FileSystem.status(path, followingLinks: false)
    return own.inode == named?.inode && own.deviceID == named?.deviceID
  }

  private func flush() throws(FileError) {
    guard !gathered.isEmpty else { return }
    let bytes = gathered
    gathered.removeAll(keepingCapacity: true)
    try withTypedBytes(bytes) { bytes throws(FileError) in try writeOut(bytes) }
  }

  private func writeOut(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    do throws(FileError) {
      try writeAll(bytes, to: descriptor, path)
    } catch {
      throw explained(error)
    }
  }

  /// Adds to a disk-full error how much room was lacking.
  private func explained(_ error: FileError) -> FileError {
    guard case .io(let path, let operation, let code, nil) = error, !isSpecial,
      code == ENOSPC || code == EDQUOT
    else { return error }
    var status = statvfs()
    let free = statvfs(path, &status) == 0 ? Int(status.f_bavail) * Int(status.f_frsize) : 0
    let written = Int((try? descriptor.stat().size) ?? 0)
    let missing = max(max(expectedByteCount, byteCount) - written - free, 1)
    return .io(path: path, operation: operation, code: code, missingBytes: missing)
  }
}

/// Writes all of `bytes`, in as many calls as it takes.
func writeAll(
  _ bytes: UnsafeRawBufferPointer, to descriptor: FileDescriptor, _ path: String
) throws(FileError) {
  var rest = bytes
  while !rest.isEmpty {
    let isShort = try begin(.write, path)
    // One call moves less than 2 GiB anyway.
    let count = isShort ? max(rest.count / 2, 1) : min(rest.count, 1 << 30)
    let written: Int
    do {
      written = try descriptor.write(UnsafeRawBufferPointer(rebasing: rest[..<count]))
    } catch {
      throw FileCall.write.failure(path, (error as? Errno)?.rawValue ?? EIO)
    }
    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
  }
}

/// `array.withUnsafeBytes` for bodies with a typed error, which the standard library's lacks.
func withTypedBytes<Value>(
  _ array: [UInt8], _ body: (UnsafeRawBufferPointer) throws(FileError) -> Value
) throws(FileError) -> Value {
  let result: Result<Value, FileError> = array.withUnsafeBytes { bytes in
    do throws(FileError) { return .success(try body(bytes)) } catch { return .failure(error) }
  }
  return try result.get()
}
