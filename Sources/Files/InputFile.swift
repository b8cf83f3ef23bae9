import Foundation
import SystemPackage

/// A file that is read from front to back, or what comes over a connection.
public final class InputFile {
  /// Where it is.
  public let path: String
  /// When to give up waiting for a connection's next bytes, with `ETIMEDOUT`.
  public var deadline: ContinuousClock.Instant?
  private let descriptor: FileDescriptor
  private let isStopping: (() -> Bool)?

  /// Opens the file.
  ///
  /// - Throws: `.io`.
  public convenience init(path: String) throws(FileError) {
    let descriptor = try perform(.open, path) {
      try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
    }
    self.init(path, descriptor)
  }

  /// Takes over a descriptor; reading is at its end once `isStopping` is true.
  init(_ path: String, _ descriptor: FileDescriptor, isStopping: (() -> Bool)? = nil) {
    self.path = path
    self.descriptor = descriptor
    self.isStopping = isStopping
  }

  /// The process's standard input.
  ///
  /// - Throws: `.io` when it is closed.
  public static func standardInput() throws(FileError) -> InputFile {
    let name = "standard input"
    return InputFile(
      name, try perform(.open, name) { try FileDescriptor.standardInput.duplicate() })
  }

  deinit { try? descriptor.close() }

  /// Reads the next bytes.
  ///
  /// - Parameter output: where to.
  /// - Returns: how many were read; 0 at the end of the file only.
  /// - Throws: `.io`.
  public func read(into output: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
    if let isStopping {
      let comes = try waitUntilReadable(
        descriptor, path, until: deadline, isStopping: isStopping)
      guard comes else { return 0 }
    }
    return try perform(.read, path) { try descriptor.read(into: output) }
  }

  /// A whole file; nil if there is none.
  ///
  /// - Throws: `.io` when it cannot be read, which does not mean that it is not there.
  public static func contentsIfPresent(of path: String) throws(FileError) -> [UInt8]? {
    do {
      return try contents(of: path)
    } catch  where error.saysAbsent {
      return nil
    }
  }

  /// A whole file.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - limit: at least how many bytes to read of a longer one.
  /// - Returns: its contents.
  /// - Throws: `.io`.
  public static func contents(
    of path: String, limit: Int = .max
  ) throws(FileError) -> [UInt8] {
    try InputFile(path: path).rest(limit: limit)
  }

  /// What is left to read, or at least `limit` bytes of it.
  ///
  /// - Throws: `.io`.
  public func rest(limit: Int = .max) throws(FileError) -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { buffer.deallocate() }
    var contents: [UInt8] = []
    while contents.count < limit, case let count = try read(into: buffer), count > 0 {
      contents.append(contentsOf: buffer[..<count])
    }
    return contents
  }
}
