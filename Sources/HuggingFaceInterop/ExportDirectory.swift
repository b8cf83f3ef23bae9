import Foundation

/// A directory that is filled under a temporary name beside its target and then put in its place.
///
/// The target never holds half an export. Where a previous export stands, the two directories are
/// exchanged by one system call, so there is no moment without either; on file systems that cannot
/// exchange (some network ones), the previous export is moved aside first.
///
/// What a killed process left behind is removed by the next export to the same target: the temporary
/// directory of a living process is locked.
struct ExportDirectory: ~Copyable {
  /// Present in every export: a directory without it is not replaced.
  static let marker = ".statex-export"
  private static let markerText =
    "Written by statex. The next export to this path replaces this directory.\n"

  /// The temporary directory to fill.
  let path: String
  private let target: String
  private let parent: String
  private let lock: Int32

  /// Creates the temporary directory.
  ///
  /// - Throws: `.refused` when something other than an export or an empty directory is at `target`.
  init(target: String) throws(InteropError) {
    let url = URL(fileURLWithPath: target).standardizedFileURL.resolvingSymlinksInPath()
    self.target = url.path
    parent = url.deletingLastPathComponent().path
    try Self.checkReplaceable(self.target)
    do {
      try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    } catch {
      throw .inputOutput(
        path: parent, operation: "create the directory", reason: error.localizedDescription)
    }
    let stem = ".\(url.lastPathComponent).partial-"
    try Self.removeRemains(in: parent, stem: stem)
    path = try Self.makeDirectory("\(parent)/\(stem)\(getpid())")
    lock = Self.lock(path)
  }

  deinit {
    if lock >= 0 { close(lock) }
  }

  /// Creates a new directory whose name starts with `stem`.
  private static func makeDirectory(_ stem: String) throws(InteropError) -> String {
    var attempt = 0
    while mkdir("\(stem)-\(attempt)", 0o755) != 0 {
      guard errno == EEXIST, attempt < 1000 else {
        throw FileSystem.failure("\(stem)-\(attempt)", "create the directory")
      }
      attempt += 1
    }
    return "\(stem)-\(attempt)"
  }

  /// Locks a directory for as long as the descriptor is open; -1 when another process has it.
  private static func lock(_ directory: String) -> Int32 {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return -1 }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      return -1
    }
    return descriptor
  }

  /// Removes temporary directories that no process holds and that contain nothing but exported files.
  private static func removeRemains(in parent: String, stem: String) throws(InteropError) {
    for name in try FileSystem.entries(of: parent) where name.hasPrefix(stem) {
      let remains = parent + "/" + name
      let lock = Self.lock(remains)
      guard lock >= 0 else { continue }
      defer { close(lock) }
      let files = try FileSystem.entries(of: remains)
      guard files.allSatisfy({ isExported($0) || ModelFileNames.isCompanion($0) }) else {
        continue
      }
      try FileSystem.remove(remains)
    }
  }

  private static func checkReplaceable(_ target: String) throws(InteropError) {
    guard FileSystem.exists(target) else { return }
    guard FileSystem.isDirectory(target) else {
      throw .refused(path: target, problem: "is a file; give the export a directory of its own")
    }
    let entries = try FileSystem.entries(of: target)
    guard entries.isEmpty || entries.contains(marker) else {
      throw .refused(
        path: target,
        problem: "holds files that are not an export of statex; remove it or choose another"
          + " directory"
      )
    }
  }

  /// Puts the filled directory in the target's place.
  ///
  /// Files that somebody added to the previous export move to the new one.
  func commit() throws(InteropError) {
    try ExportFile.write(Array(Self.markerText.utf8), to: path + "/" + Self.marker)
    try FileSystem.synchronize(directory: path)
    var previous: String?
    if rename(path, target) != 0 {
      guard errno == ENOTEMPTY || errno == EEXIST else {
        throw FileSystem.failure(target, "move the export to its place")
      }
      previous = try replace()
    }
    try FileSystem.synchronize(directory: parent)
    if let previous {
      try moveAdditions(from: previous)
      try FileSystem.remove(previous)
    }
  }

  /// Removes the temporary directory after a failure.
  func discard() { try? FileSystem.remove(path) }

  /// Exchanges the new directory with the previous export, and returns where the latter went.
  private func replace() throws(InteropError) -> String {
    try Self.checkReplaceable(target)
    if Self.exchange(path, target) == 0 { return path }
    guard [EINVAL, ENOSYS, ENOTSUP].contains(errno) else {
      throw FileSystem.failure(target, "exchange the export with the previous one")
    }
    let aside = path + ".previous"
    guard rename(target, aside) == 0 else {
      throw FileSystem.failure(target, "move the previous export aside")
    }
    guard rename(path, target) == 0 else {
      let failure = FileSystem.failure(target, "move the export to its place")
      rename(aside, target)
      throw failure
    }
    return aside
  }

  /// `renameat2(..., RENAME_EXCHANGE)`, which Swift's C library module does not show.
  private static func exchange(_ first: String, _ second: String) -> Int32 {
    typealias Function =
      @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32
    guard let symbol = dlsym(nil, "renameat2") else {
      errno = ENOSYS
      return -1
    }
    let rename = unsafeBitCast(symbol, to: Function.self)
    let exchangeFlag: UInt32 = 2
    return rename(AT_FDCWD, first, AT_FDCWD, second, exchangeFlag)
  }

  private func moveAdditions(from previous: String) throws(InteropError) {
    for name in try FileSystem.entries(of: previous) where !Self.isExported(name) {
      guard !FileSystem.exists(target + "/" + name) else { continue }
      guard rename(previous + "/" + name, target + "/" + name) == 0 else {
        throw FileSystem.failure(previous + "/" + name, "move the file to the new export")
      }
    }
  }

  /// Whether a file of that name is replaced by every export.
  private static func isExported(_ name: String) -> Bool {
    name == marker || name == ModelFileNames.config || name == ModelFileNames.index
      || (name.hasPrefix("model") && name.hasSuffix(".safetensors"))
      || PythonCode.fileNames.contains(name)
  }
}
