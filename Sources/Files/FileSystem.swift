import Foundation
import SystemPackage

/// Operations on names: what is there, directories, renaming, removing.
public enum FileSystem {
  /// The kind of thing that a name refers to.
  public enum Kind: Sendable {
    case file
    case directory
    case link
    /// A device, pipe or socket.
    case special
  }

  // MARK: Asking

  /// What is at `path`; nil if there is nothing.
  ///
  /// - Parameters:
  ///   - path: the name.
  ///   - followingLinks: whether to look at what a symbolic link points to; one that points nowhere is
  ///     nothing then.
  /// - Returns: its kind.
  /// - Throws: `.io` when the system cannot tell, which does not mean that nothing is there.
  public static func kind(
    of path: String, followingLinks: Bool = true
  ) throws(FileError) -> Kind? {
    guard let status = try status(path, followingLinks: followingLinks) else { return nil }
    return switch status.type {
    case .regular: .file
    case .directory: .directory
    case .symbolicLink: .link
    default: .special
    }
  }

  /// Whether something is at `path`; see `kind(of:followingLinks:)`.
  public static func exists(
    _ path: String, followingLinks: Bool = true
  ) throws(FileError) -> Bool {
    try status(path, followingLinks: followingLinks) != nil
  }

  /// The size of a file or directory, links not followed; nil if there is none.
  public static func byteCount(_ path: String) throws(FileError) -> Int? {
    try status(path, followingLinks: false).map { Int($0.size) }
  }

  /// What changes when a file is written to: its size and the time of its last change.
  public struct Stamp: Sendable, Equatable {
    /// Size in bytes.
    public var byteCount: Int
    /// Nanoseconds since 1970.
    public var modified: Int

    /// Names the parts.
    public init(byteCount: Int, modified: Int) {
      (self.byteCount, self.modified) = (byteCount, modified)
    }
  }

  /// The size of a file and when it last changed, links followed; nil if there is none.
  public static func stamp(_ path: String) throws(FileError) -> Stamp? {
    try status(path, followingLinks: true).map {
      let time = $0.rawValue.st_mtim
      return Stamp(
        byteCount: Int($0.size), modified: time.tv_sec &* 1_000_000_000 &+ time.tv_nsec)
    }
  }

  /// Whether two paths lead to the same file or directory, however they are written.
  public static func isSame(_ path: String, _ other: String) throws(FileError) -> Bool {
    guard let one = try status(path, followingLinks: true),
      let two = try status(other, followingLinks: true)
    else { return false }
    return one.inode == two.inode && one.deviceID == two.deviceID
  }

  /// Whether nobody but a file's owner may read or change it.
  ///
  /// - Throws: `.io`, also when there is no such file.
  public static func isPrivate(_ path: String) throws(FileError) -> Bool {
    guard let status = try status(path, followingLinks: true) else {
      throw FileCall.status.failure(path, ENOENT)
    }
    return status.permissions.rawValue & 0o077 == 0
  }

  static func status(_ path: String, followingLinks: Bool) throws(FileError) -> Stat? {
    do {
      return try perform(.status, path) {
        try Stat(path, followTargetSymlink: followingLinks)
      }
    } catch  where error.saysAbsent {
      return nil
    }
  }

  /// The names in a directory, sorted.
  ///
  /// - Throws: `.io` when there is no such directory, or when not all of its names could be read.
  public static func list(_ path: String) throws(FileError) -> [String] {
    let stream = try perform(.list, path) {
      guard let stream = opendir(path) else { throw Errno(rawValue: errno) }
      return stream
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let name = try nextName(stream, path) {
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The next entry; nil at the end, which `readdir` tells from an error by `errno` alone.
  private static func nextName(_ stream: OpaquePointer, _ path: String) throws(FileError) -> String?
  {
    try perform(.list, path) {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw Errno(rawValue: errno) }
        return nil
      }
      return withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
    }
  }

  /// The paths that a pattern with `*`, `?` and `[...]` stands for, sorted; `*` takes no `/`.
  ///
  /// - Throws: `.io` when a directory on the way cannot be read.
  public static func matching(_ pattern: String) throws(FileError) -> [String] {
    var found = glob_t()
    defer { globfree(&found) }
    try perform(.list, pattern) {
      errno = 0
      let code = glob(pattern, GLOB_ERR | GLOB_NOSORT, nil, &found)
      guard code == 0 || code == GLOB_NOMATCH else {
        throw Errno(rawValue: code == GLOB_NOSPACE ? ENOMEM : errno == 0 ? EIO : errno)
      }
    }
    var paths: [String] = []
    for index in 0..<Int(found.gl_pathc) {
      if let path = found.gl_pathv[index] { paths.append(String(cString: path)) }
    }
    return paths.sorted()
  }

  /// The names in a directory, sorted; none if there is no such directory.
  public static func listIfPresent(_ path: String) throws(FileError) -> [String] {
    do {
      return try list(path)
    } catch  where error.saysAbsent {
      return []
    }
  }

  /// The directory that holds `path`.
  public static func parent(of path: String) -> String {
    let parent = FilePath(path).removingLastComponent().string
    return parent.isEmpty ? "." : parent
  }

  /// The last part of `path`.
  public static func name(of path: String) -> String {
    FilePath(path).lastComponent?.string ?? path
  }

  /// The final target of a symbolic link; `path` itself if it is not a link or its target is missing.
  public static func resolved(_ path: String) throws(FileError) -> String {
    guard try kind(of: path, followingLinks: false) == .link, try exists(path) else { return path }
    return try canonical(path)
  }

  /// The one absolute path, without links, of something that is there.
  public static func canonical(_ path: String) throws(FileError) -> String {
    try perform(.status, path) {
      guard let resolved = realpath(path, nil) else { throw Errno(rawValue: errno) }
      defer { free(resolved) }
      return String(cString: resolved)
    }
  }

  /// Requires that a file can be created at `path`, before hours of work depend on it.
  public static func requireCreatable(_ path: String) throws(FileError) {
    try perform(.create, path) { try check(access(parent(of: path), W_OK)) }
  }

  // MARK: Changing

  /// Copies a file's contents to a new file, durably.
  public static func copy(_ contents: MappedFile, to path: String) throws(FileError) {
    let file = try OutputFile(creating: path, expectedByteCount: contents.byteCount)
    defer { withExtendedLifetime(contents) {} }
    try file.write(contents.bytes)
    try file.commit()
  }

  /// Creates a directory; false if there is something of that name already.
  @discardableResult
  public static func createDirectory(_ path: String) throws(FileError) -> Bool {
    do {
      try perform(.createDirectory, path) { try check(mkdir(path, 0o777)) }
      return true
    } catch .io(_, _, EEXIST, _) {
      return false
    }
  }

  /// Creates a directory and those above it that are missing.
  public static func createDirectories(_ path: String) throws(FileError) {
    if try kind(of: path) == .directory { return }
    let parent = parent(of: path)
    if parent != path, parent != "." { try createDirectories(parent) }
    // Another process may have made it meanwhile; a file in its place is an error.
    guard try !createDirectory(path), try kind(of: path) != .directory else { return }
    throw FileCall.createDirectory.failure(path, ENOTDIR)
  }

  /// Makes the entries of a directory durable.
  public static func synchronize(directory path: String) throws(FileError) {
    try perform(.sync, path) {
      let descriptor = try FileDescriptor.open(
        path, .readOnly, options: [.directory, .closeOnExec])
      defer { try? descriptor.close() }
      // Some network file systems have no such call for directories and say EINVAL.
      guard fsync(descriptor.rawValue) == 0 || errno == EINVAL else {
        throw Errno(rawValue: errno)
      }
    }
  }

  /// Renames a file or directory; a file takes the place of another.
  public static func rename(_ path: String, to target: String) throws(FileError) {
    try perform(.rename, path) { try check(Foundation.rename(path, target)) }
  }

  /// Removes a file, or a directory with its contents; does nothing if there is none.
  public static func remove(_ path: String) throws(FileError) {
    do {
      try perform(.remove, path) { try check(unlink(path)) }
    } catch  where error.saysAbsent {
      return
    } catch .io(_, _, EISDIR, _) {
      try removeDirectory(path)
    } catch .io(_, _, EPERM, _) {
      try removeDirectory(path)
    }
  }

  private static func removeDirectory(_ path: String) throws(FileError) {
    for name in try listIfPresent(path) { try remove(path + "/" + name) }
    do {
      try perform(.remove, path) { try check(rmdir(path)) }
    } catch  where error.saysAbsent {
      return
    }
  }
}
