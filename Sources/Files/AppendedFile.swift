import Foundation
import SystemPackage

/// A file to which whole records are appended; a record that cannot be written leaves no trace.
public struct AppendedFile: ~Copyable {
  /// Where the file is.
  public let path: String
  private let descriptor: FileDescriptor
  private var end: Int64

  /// Opens a file at its end, making it if absent.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - byteCount: what follows these bytes is cut off; nil keeps all.
  /// - Throws: `.io`; `.invalid` when the file has fewer bytes.
  public init(path: String, keeping byteCount: Int? = nil) throws(FileError) {
    self.path = path
    (descriptor, end) = try Self.open(path, keeping: byteCount.map(Int64.init))
  }

  private static func open(
    _ path: String, keeping byteCount: Int64?
  ) throws(FileError) -> (FileDescriptor, end: Int64) {
    let isNew = try !FileSystem.exists(path)
    let descriptor = try perform(.open, path) {
      try FileDescriptor.open(
        path, .readWrite, options: [.create, .closeOnExec],
        permissions: [.ownerReadWrite, .groupReadWrite, .otherReadWrite])
    }
    do throws(FileError) {
      var end = try perform(.open, path) { try descriptor.seek(offset: 0, from: .end) }
      if let byteCount, byteCount != end {
        guard byteCount < end else {
          throw .invalid(
            path: path, field: "size", reason: "\(end) bytes, of which \(byteCount) are to be kept")
        }
        try perform(.truncate, path) { try descriptor.resize(to: byteCount) }
        end = try perform(.open, path) { try descriptor.seek(offset: 0, from: .end) }
      }
      if isNew { try FileSystem.synchronize(directory: FileSystem.parent(of: path)) }
      return (descriptor, end)
    } catch {
      try? descriptor.close()
      throw error
    }
  }

  deinit { try? descriptor.close() }

  /// Appends one record.
  public mutating func append(_ record: [UInt8]) throws(FileError) {
    do throws(FileError) {
      try withTypedBytes(record) { bytes throws(FileError) in
        try writeAll(bytes, to: descriptor, path)
      }
    } catch {
      // Half a record would make the next one unreadable too.
      try? descriptor.resize(to: end)
      _ = try? descriptor.seek(offset: end, from: .start)
      throw error
    }
    end += Int64(record.count)
  }

  /// Returns once everything appended is on the disk.
  public func synchronize() throws(FileError) {
    try perform(.sync, path) { try check(fsync(descriptor.rawValue)) }
  }
}
