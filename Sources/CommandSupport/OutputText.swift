import Foundation

/// Writes a file so that it appears under its name only when it is complete; devices and pipes are
/// written to as they stand.
///
/// - Throws: `CommandError.inputOutput`, naming the path.
public func writeWhole(_ bytes: [UInt8], to path: String) throws(CommandError) {
  var status = stat()
  let isSpecial = stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
  let partial = isSpecial ? path : "\(path).partial-\(getpid())"
  do throws(CommandError) {
    try write(bytes, to: partial, named: path)
    guard isSpecial || rename(partial, path) == 0 else { throw failure("write", path) }
  } catch {
    if !isSpecial { unlink(partial) }
    throw error
  }
}

private func write(_ bytes: [UInt8], to file: String, named path: String) throws(CommandError) {
  let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw failure("create", path) }
  var done = 0
  while done < bytes.count {
    let count = bytes[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if count < 0 && errno == EINTR { continue }
    guard count >= 0 else {
      let error = failure("write", path)
      close(descriptor)
      throw error
    }
    done += count
  }
  guard close(descriptor) == 0 else { throw failure("write", path) }
}

private func failure(_ operation: String, _ path: String) -> CommandError {
  .inputOutput("cannot \(operation) \(path): \(String(cString: strerror(errno)))")
}

/// Requires that a file can be created at `path`, before hours of work lead up to it.
///
/// - Throws: `CommandError.inputOutput`.
public func requireWritable(_ path: String) throws(CommandError) {
  let folder = (path as NSString).deletingLastPathComponent
  guard access(folder.isEmpty ? "." : folder, W_OK) == 0 else {
    throw failure("create", path)
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
