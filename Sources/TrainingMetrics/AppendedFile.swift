import Foundation

/// A file to which whole records are appended; a record that fails to be written leaves nothing.
package struct AppendedFile {
  /// Where the file is.
  package let path: String
  private let handle: FileHandle
  private var end: UInt64

  /// Opens a file at its end, making it if absent.
  package init(path: String) throws(MetricsError) {
    if !FileManager.default.fileExists(atPath: path) {
      guard FileManager.default.createFile(atPath: path, contents: nil) else {
        throw .io(path: path, operation: "create the file", reason: lastSystemError())
      }
    }
    guard let handle = FileHandle(forUpdatingAtPath: path) else {
      throw .io(path: path, operation: "open the file", reason: lastSystemError())
    }
    self.path = path
    self.handle = handle
    end = try doing("seek", path) { try handle.seekToEnd() }
  }

  /// Appends one record.
  package mutating func append(_ record: Data) throws(MetricsError) {
    do {
      try doing("write", path) { try handle.write(contentsOf: record) }
    } catch {
      // Half a record would make the next one unreadable too.
      try? handle.truncate(atOffset: end)
      throw error
    }
    end += UInt64(record.count)
  }

  /// Returns once everything appended is on the disk.
  func synchronize() throws(MetricsError) {
    try doing("synchronize", path) { try handle.synchronize() }
  }

  /// Replaces a file by another text at once: after a crash it holds the old or the new one.
  static func replace(_ path: String, with contents: Data) throws(MetricsError) {
    let temporary = path + ".tmp"
    try? FileManager.default.removeItem(atPath: temporary)
    var file = try AppendedFile(path: temporary)
    try file.append(contents)
    try file.synchronize()
    guard unsafe rename(temporary, path) == 0 else {
      throw .io(path: path, operation: "replace the file", reason: lastSystemError())
    }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    // A file system that cannot synchronize folders has nothing to offer here.
    try? FileHandle(forReadingAtPath: folder)?.synchronize()
  }
}

/// Runs a file operation, naming it in the error.
func doing<Result>(
  _ operation: String, _ path: String, _ body: () throws -> Result
) throws(MetricsError) -> Result {
  do {
    return try body()
  } catch {
    let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
    let code = underlying?.code ?? (error as? POSIXError).map { Int($0.code.rawValue) }
    let reason = code.map { systemError(Int32($0)) } ?? error.localizedDescription
    throw .io(path: path, operation: operation, reason: reason)
  }
}

/// The text of `errno`.
func lastSystemError() -> String { systemError(errno) }

private func systemError(_ code: Int32) -> String {
  guard let text = unsafe strerror(code) else { return "error \(code)" }
  return unsafe String(cString: text)
}
