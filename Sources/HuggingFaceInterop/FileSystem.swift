import Foundation
import TensorFiles

/// The few operations on paths that reading and writing a model directory need.
enum FileSystem {
  /// Whether something of that name is there, a dangling link included.
  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// Whether a directory, or a link to one, is there.
  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The error for a call that has just failed.
  static func failure(_ path: String, _ operation: String) -> InteropError {
    .inputOutput(path: path, operation: operation, reason: String(cString: strerror(errno)))
  }

  /// The names in a directory, sorted.
  static func entries(of directory: String) throws(InteropError) -> [String] {
    guard let stream = opendir(directory) else {
      throw failure(directory, "open the directory")
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Parses a JSON file, Python's `NaN` and infinities included.
  static func json(_ path: String) throws(InteropError) -> JSONValue {
    do throws(TensorFileError) {
      let file = try MappedFile(path: path)
      guard file.byteCount <= SafetensorsHeader.maximumJSONByteCount else {
        throw TensorFileError.invalid(
          path: path, field: "size", reason: "\(file.byteCount) bytes are too many for this file")
      }
      return try JSONValue(parsing: file.bytes, source: path, allowsNonFinite: true)
    } catch {
      throw InteropError(error)
    }
  }

  /// Flushes a directory's own entries to the disk.
  static func synchronize(directory: String) throws(InteropError) {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(directory, "open the directory") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure(directory, "flush the directory") }
  }

  /// Removes a file or a whole directory; links are removed, not followed.
  static func remove(_ path: String) throws(InteropError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR {
      for name in try entries(of: path) { try remove(path + "/" + name) }
      guard rmdir(path) == 0 else { throw failure(path, "remove the directory") }
    } else {
      guard unlink(path) == 0 else { throw failure(path, "remove the file") }
    }
  }
}

extension InteropError {
  /// The same failure of a tensor file, in this room's terms.
  init(_ error: TensorFileError) {
    switch error {
    case .io(let path, let operation, let code):
      self = .inputOutput(
        path: path, operation: operation, reason: String(cString: strerror(code)))
    case .invalid(let path, let field, let reason):
      self = .malformed(file: path, problem: "\(field): \(reason)")
    }
  }
}
