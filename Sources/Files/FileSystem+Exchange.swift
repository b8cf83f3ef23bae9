import Foundation
import SystemPackage

extension FileSystem {
  /// Puts the directory `new` in the place of `target`, so that at every moment one of the two is there
  /// under its name, or, on file systems that cannot exchange (some network ones), the previous one as
  /// `aside`.
  ///
  /// - Parameters:
  ///   - target: the name; nothing, an empty directory or a directory is there.
  ///   - new: the directory to move.
  ///   - aside: a free name for the previous one.
  /// - Returns: where the previous directory is now; nil if there was none.
  /// - Throws: `.io`; the names are then as before.
  public static func replace(
    directory target: String, with new: String, movingPreviousTo aside: String
  ) throws(FileError) -> String? {
    guard try exists(target) else {
      try rename(new, to: target)
      return nil
    }
    if try exchange(new, target) { return new }
    try rename(target, to: aside)
    do throws(FileError) {
      try rename(new, to: target)
    } catch {
      try? rename(aside, to: target)
      throw error
    }
    return aside
  }

  /// Swaps two names in one step; false if the file system cannot.
  static func exchange(_ path: String, _ other: String) throws(FileError) -> Bool {
    do {
      return try perform(.exchange, path) {
        guard let renameat2 else { return false }
        let renameExchange: UInt32 = 2  // RENAME_EXCHANGE
        try check(renameat2(AT_FDCWD, path, AT_FDCWD, other, renameExchange))
        return true
      }
    } catch .io(_, _, let code, _) where [EINVAL, ENOSYS, ENOTSUP].contains(code) {
      return false
    }
  }

  /// The C library's `renameat2`, which Swift's module of it leaves out.
  private static let renameat2: RenameAt2? = dlsym(nil, "renameat2").map {
    unsafeBitCast($0, to: RenameAt2.self)
  }

  private typealias RenameAt2 =
    @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32
}
