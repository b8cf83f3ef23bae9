import Files
import Foundation

/// A directory that is filled under a temporary name beside its target and then put in its place.
///
/// The target never holds half an export. Where a previous export stands, the two directories are
/// exchanged by one system call, so there is no moment without either; on file systems that cannot
/// exchange (some network ones), the previous export is moved aside first, and the next export puts it
/// back if its replacement never came.
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
  private let aside: String
  private let lock: FileLock

  /// Creates the temporary directory.
  ///
  /// - Throws: `.refused` when something other than an export or an empty directory is at `target`.
  init(target: String) throws(InteropError) {
    let url = URL(fileURLWithPath: target).standardizedFileURL.resolvingSymlinksInPath()
    self.target = url.path
    let parent = url.deletingLastPathComponent().path
    let hidden = "\(parent)/.\(url.lastPathComponent)"
    aside = hidden + ".replaced"
    let (path, aside) = (url.path, aside)
    try InteropError.from { () throws(FileError) in
      try FileSystem.createDirectories(parent)
      if try FileSystem.exists(aside), try !FileSystem.exists(path) {
        try FileSystem.rename(aside, to: path)
      }
    }
    try Self.checkReplaceable(path)
    (self.path, lock) = try InteropError.from { () throws(FileError) in
      let stem = FileSystem.name(of: hidden) + ".partial-"
      try Self.removeRemains(in: parent, stem: stem, target: path)
      let made = try Self.makeDirectory("\(hidden).partial-\(getpid())")
      return (made, try FileLock(existing: made))
    }
  }

  /// Creates a new directory whose name starts with `stem`.
  private static func makeDirectory(_ stem: String) throws(FileError) -> String {
    var attempt = 0
    while try !FileSystem.createDirectory("\(stem)-\(attempt)") { attempt += 1 }
    return "\(stem)-\(attempt)"
  }

  /// Removes temporary directories that no process holds.
  ///
  /// One may be a previous export, exchanged with the one that is in its place. Whatever else contains
  /// more than exported files is left alone.
  private static func removeRemains(
    in parent: String, stem: String, target: String
  ) throws(FileError) {
    for name in try FileSystem.list(parent) where name.hasPrefix(stem) {
      let remains = parent + "/" + name
      guard let lock = try? FileLock(existing: remains), lock.state == .held else { continue }
      let files = try FileSystem.list(remains)
      if files.allSatisfy({ isExported($0) || ModelFileNames.isCompanion($0) }) {
        try FileSystem.remove(remains)
      } else if files.contains(marker), try FileSystem.exists(target) {
        try retire(remains, target: target)
      }
    }
  }

  private static func checkReplaceable(_ target: String) throws(InteropError) {
    switch try InteropError.from(try FileSystem.kind(of: target)) {
    case nil: return
    case .directory: break
    default:
      throw .refused(path: target, problem: "is a file; give the export a directory of its own")
    }
    let entries = try InteropError.from(try FileSystem.list(target))
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
    try Self.checkReplaceable(target)
    try InteropError.from { () throws(FileError) in
      try OutputFile.write(Array(Self.markerText.utf8), creating: path + "/" + Self.marker)
      try FileSystem.synchronize(directory: path)
      // Left by a commit that was interrupted at its very end.
      try Self.retire(aside, target: target)
      let previous = try FileSystem.replace(
        directory: target, with: path, movingPreviousTo: aside)
      try FileSystem.synchronize(directory: FileSystem.parent(of: target))
      if let previous { try Self.retire(previous, target: target) }
    }
  }

  /// Removes the temporary directory after a failure.
  func discard() { try? FileSystem.remove(path) }

  /// Removes a previous export, but keeps what somebody added to it.
  private static func retire(_ previous: String, target: String) throws(FileError) {
    for name in try FileSystem.listIfPresent(previous) where !isExported(name) {
      guard try !FileSystem.exists(target + "/" + name, followingLinks: false) else { continue }
      try FileSystem.rename(previous + "/" + name, to: target + "/" + name)
    }
    try FileSystem.remove(previous)
  }

  /// Whether a file of that name is replaced by every export.
  private static func isExported(_ name: String) -> Bool {
    [marker, ModelFileNames.config, ModelFileNames.secondCard, ExportSums.fileName].contains(name)
      || WeightFormat.allCases.contains { [$0.fileName, $0.indexName].contains(name) }
      || (name.hasPrefix("model") && name.hasSuffix(".safetensors"))
      || PythonCode.fileNames.contains(name)
  }
}
