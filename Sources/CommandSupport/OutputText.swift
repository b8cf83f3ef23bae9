import Foundation

/// Writes a file so that it appears under its name only when it is complete.
///
/// - Throws: `CommandError.inputOutput`, naming the path.
public func writeWhole(_ bytes: [UInt8], to path: String) throws(CommandError) {
  let partial = "\(path).partial-\(getpid())"
  func failure(_ operation: String) -> CommandError {
    .inputOutput("cannot \(operation) \(path): \(String(cString: strerror(errno)))")
  }
  let descriptor = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw failure("create") }
  var done = 0
  while done < bytes.count {
    let count = bytes[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if count < 0 && errno == EINTR { continue }
    guard count >= 0 else {
      let error = failure("write")
      close(descriptor)
      unlink(partial)
      throw error
    }
    done += count
  }
  guard close(descriptor) == 0, rename(partial, path) == 0 else {
    let error = failure("write")
    unlink(partial)
    throw error
  }
}

/// Requires that a file can be created at `path`, before hours of work lead up to it.
///
/// - Throws: `CommandError.inputOutput`.
public func requireWritable(_ path: String) throws(CommandError) {
  let folder = (path as NSString).deletingLastPathComponent
  guard access(folder.isEmpty ? "." : folder, W_OK) == 0 else {
    throw .inputOutput("cannot create \(path): \(String(cString: strerror(errno)))")
  }
}

/// Rows of cells as aligned columns; the first column to the left, the others to the right.
public func alignedTable(_ rows: [[String]]) -> String {
  let columns = rows.map(\.count).max() ?? 0
  let widths = (0..<columns).map { column in
    rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
  }
  return rows.map { row in
    row.enumerated().map { column, cell in
      let padding = String(repeating: " ", count: widths[column] - cell.count)
      return column == 0 ? cell + padding : padding + cell
    }.joined(separator: "  ")
  }.joined(separator: "\n")
}
