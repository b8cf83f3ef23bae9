import ErrorReporting
import Foundation

/// New files that replace old ones together, once all are complete and durable, or not at all.
///
/// They are written under other names beside their targets. `commit` makes all of them durable and
/// then renames them in order. The last one is the seal: readers open the set only if it is there.
/// Where several files replace older ones, the old seal is moved away first and the new one comes
/// last, so that a process that dies in between leaves a set that does not open, never a mixed one.
/// The next replacement of the same targets finds what was left behind:
///
/// - `NAME.partial-PROCESS-NUMBER`, being written; locked by its writer as long as that lives, and
///   removed once it does not;
/// - `NAME.replaced`, the old file during a commit; put back when the seal is missing, else removed.
///
/// Not thread safe.
public final class FileReplacement {
  /// The new files that are to be written, in the order of their targets.
  public let files: [OutputFile]

  /// Where the new files are, in the order of `targets`.
  private let parts: [String]
  private let targets: [String]
  /// The directories that they lie in: several where links lead to them.
  private let directories: [String]
  private var isInPlace = false

  /// Creates new files to be written.
  ///
  /// - Parameters:
  ///   - targets: where they will be, the seal last; links are followed.
  ///   - ready: by target, files that exist already, durable and on the same file system. They are moved,
  ///     and stay where they are as long as the replacement has not succeeded.
  /// - Throws: `.io`, also when something other than a file is there.
  public init(_ targets: [String], ready: [String: String] = [:]) throws(FileError) {
    require(!targets.isEmpty, "nothing to write")
    var resolved: [String] = []
    for target in targets {
      let path = try FileSystem.resolved(target)
      switch try FileSystem.kind(of: path) {
      case .directory: throw FileCall.create.failure(target, EISDIR)
      case .special: throw FileCall.create.failure(target, EEXIST)
      case .file, .link, nil: resolved.append(path)
      }
    }
    self.targets = resolved
    directories = Set(resolved.map { FileSystem.parent(of: $0) }).sorted()
    try Self.removeRemains(of: resolved, in: directories)
    var (files, parts): ([OutputFile], [String]) = ([], [])
    do throws(FileError) {
      for (target, path) in zip(targets, resolved) {
        if let part = ready[target] {
          parts.append(part)
        } else {
          files.append(try Self.partialFile(path))
          parts.append(files[files.count - 1].path)
        }
      }
    } catch {
      for file in files { try? FileSystem.remove(file.path) }
      throw error
    }
    (self.files, self.parts) = (files, parts)
  }

  deinit {
    guard !isInPlace else { return }
    for file in files { try? FileSystem.remove(file.path) }
  }

  /// Writes one whole file: after a crash there is the old or the new one.
  ///
  /// A device or pipe is written to as it stands.
  ///
  /// - Throws: `.io` naming `path`.
  public static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
    if try FileSystem.kind(of: path) == .special {
      let file = try OutputFile(special: path)
      try file.write(bytes)
      return try file.close()
    }
    let replacement = try FileReplacement([path])
    try replacement.files[0].write(bytes)
    try replacement.commit()
  }

  /// Makes all files durable and puts them in their places.
  ///
  /// - Throws: `.io`; what was there before is still there then, unless the new files were in place
  ///   already and only their names could not be made durable, or the old ones not removed.
  public func commit() throws(FileError) {
    for file in files { try file.synchronize() }
    let locks = Self.lock(directories)
    defer { for lock in locks { lock.release() } }
    try Self.recover(targets, in: directories)
    if targets.count > 1 {
      try replaceSeveral()
    } else {
      try FileSystem.rename(parts[0], to: targets[0])
    }
    isInPlace = true
    try Self.synchronize(directories)
    guard targets.count > 1 else { return }
    for target in targets { try FileSystem.remove(Self.aside(target)) }
  }

  private func replaceSeveral() throws(FileError) {
    var undo: [(from: String, to: String)] = []
    func rename(_ path: String, _ target: String) throws(FileError) {
      try FileSystem.rename(path, to: target)
      undo.append((target, path))
    }
    do throws(FileError) {
      for target in targets.reversed() where try FileSystem.exists(target) {
        try rename(target, Self.aside(target))
      }
      if !undo.isEmpty { try Self.synchronize(directories) }
      for (part, target) in zip(parts, targets) { try rename(part, target) }
    } catch {
      for step in undo.reversed() { try? FileSystem.rename(step.from, to: step.to) }
      throw error
    }
  }

  // MARK: What others left behind

  private static func aside(_ target: String) -> String { target + ".replaced" }

  /// A new locked file beside `target`.
  private static func partialFile(_ target: String) throws(FileError) -> OutputFile {
    var number = 0
    while true {
      let path = "\(target).partial-\(getpid())-\(number)"
      do throws(FileError) {
        let file = try OutputFile(creating: path)
        if try isOurs(file) { return file }
      } catch .io(_, _, EEXIST, _) where number < 1000 {
        // Another writer of this process, or of a process of that number elsewhere.
      }
      number += 1
    }
  }

  /// Locks a new file; false when another process took it for a leftover before it was locked.
  private static func isOurs(_ file: OutputFile) throws(FileError) -> Bool {
    do throws(FileError) {
      switch try file.lock() {
      case .held: return try file.isInPlace()
      case .unsupported: return true
      case .heldElsewhere: return false
      }
    } catch {
      try? FileSystem.remove(file.path)
      throw error
    }
  }

  /// Serializes commits to one directory; on a file system without locks, callers must not run two
  /// at once.
  private static func lock(_ directories: [String]) -> [FileLock] {
    directories.compactMap { try? FileLock(existing: $0, waiting: true) }
  }

  private static func synchronize(_ directories: [String]) throws(FileError) {
    for directory in directories { try FileSystem.synchronize(directory: directory) }
  }

  /// Removes the partial files of dead processes, and completes or undoes their commits.
  private static func removeRemains(
    of targets: [String], in directories: [String]
  ) throws(FileError) {
    for directory in directories {
      for name in try FileSystem.listIfPresent(directory) {
        guard let (target, suffix) = split(name, at: ".partial-"),
          targets.contains(where: { FileSystem.name(of: $0) == target }),
          suffix.allSatisfy({ $0.isNumber || $0 == "-" })
        else { continue }
        let path = directory + "/" + name
        // A file that cannot be opened or locked may belong to a living writer.
        guard let lock = try? FileLock(existing: path), lock.state == .held else { continue }
        try FileSystem.remove(path)
      }
    }
    guard try isInterrupted(targets) else { return }
    let locks = lock(directories)
    defer { for lock in locks { lock.release() } }
    try recover(targets, in: directories)
  }

  private static func split(_ name: String, at mark: String) -> (String, String)? {
    guard let range = name.range(of: mark, options: .backwards) else { return nil }
    return (String(name[..<range.lowerBound]), String(name[range.upperBound...]))
  }

  /// Whether a commit to these targets was interrupted, or is under way.
  private static func isInterrupted(_ targets: [String]) throws(FileError) -> Bool {
    for target in targets where try FileSystem.exists(aside(target)) { return true }
    return false
  }

  /// Ends an interrupted commit: backwards as long as its seal is not there.
  private static func recover(
    _ targets: [String], in directories: [String]
  ) throws(FileError) {
    guard targets.count > 1, try isInterrupted(targets) else { return }
    let isSealed = try FileSystem.exists(targets[targets.count - 1])
    for target in targets where try FileSystem.exists(aside(target)) {
      if isSealed {
        try FileSystem.remove(aside(target))
      } else {
        try FileSystem.rename(aside(target), to: target)
      }
    }
    try synchronize(directories)
  }
}
