import Files

extension CheckpointCatalog {
  /// The checkpoints that a retention would remove, oldest first, and whether what would stay is good.
  ///
  /// - Throws: `.file` when a directory or file cannot be read, `.damaged` when the newest that would stay does
  ///   not verify.
  public static func dispensable(
    in run: String, _ retention: Retention
  ) throws(CheckpointError) -> [Entry] {
    let entries = try entries(in: run)
    let old = entries.dropFirst(retention.newest).filter { !retention.keepsForGood($0.step) }
    guard let newest = entries.first, !old.isEmpty else { return [] }
    let problems = try problems(at: newest.path, contents: false)
    guard problems.isEmpty else { throw .damaged(path: newest.path, problems: problems) }
    return old.reversed()
  }

  /// Removes a checkpoint: its name first, then its files, so that it never looks whole while it is not.
  ///
  /// The caller holds the run's lock.
  ///
  /// - Throws: `.file`.
  public static func remove(_ entry: Entry, in run: String) throws(CheckpointError) {
    let directory = CheckpointDirectory(run: run)
    try CheckpointError.from { () throws(FileError) in
      try directory.retire(entry.path, step: entry.step)
    }
  }
}
