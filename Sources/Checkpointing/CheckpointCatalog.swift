import Files

/// The checkpoints of a run.
public enum CheckpointCatalog {
  /// A committed checkpoint, not yet verified.
  public struct Entry: Sendable, Equatable {
    /// The training step.
    public let step: Int

    /// The checkpoint's directory.
    public let path: String
  }

  /// A checkpoint that cannot be used.
  public struct Rejected: Sendable, Equatable, CustomStringConvertible {
    /// The training step.
    public let step: Int

    /// The checkpoint's directory.
    public let path: String

    /// Every bad file.
    public let problems: [CheckpointProblem]

    /// The first bad file and what is wrong with it.
    public var reason: String { problems.first?.description ?? path }

    /// One line, for a warning.
    public var description: String {
      "checkpoint \(path) is rejected: "
        + problems.map(\.description).joined(separator: "; ")
    }
  }

  /// What was found.
  public struct Selection {
    /// The newest checkpoint that verifies; nil if there is none.
    public let reader: CheckpointReader?

    /// The newer ones that do not, newest first.
    public let rejected: [Rejected]

    /// The checkpoint.
    ///
    /// - Parameter run: the directory that was looked at.
    /// - Returns: the one that verifies; nil of a run without checkpoints.
    /// - Throws: `.noneValid` where there are some and none verifies.
    public func reader(of run: String) throws(CheckpointError) -> CheckpointReader? {
      guard reader == nil, !rejected.isEmpty else { return reader }
      throw .noneValid(run: run, rejected: rejected)
    }
  }

  /// The committed checkpoints of a run, newest first; empty if there are none.
  ///
  /// - Throws: `.file` when the directory cannot be read.
  public static func entries(in run: String) throws(CheckpointError) -> [Entry] {
    try CheckpointError.from(try CheckpointDirectory(run: run).committed()).map {
      Entry(step: $0.step, path: $0.path)
    }
  }

  /// Removes what interrupted saves left behind, whatever the identity of their run: a job that dies
  /// before its first checkpoint starts again under another one, and its files would stay for ever.
  ///
  /// The caller holds the run's lock, so that nobody else is saving.
  ///
  /// - Throws: `.file`.
  public static func removeInterruptedSaves(in run: String) throws(CheckpointError) {
    let directory = CheckpointDirectory(run: run)
    try CheckpointError.from { () throws(FileError) in
      for name in try directory.names() {
        if case .partial = name { try FileSystem.remove(directory.path(name)) }
      }
    }
  }

  /// Gives rejected checkpoints of a run names that no longer count, `step-00001000.damaged`.
  ///
  /// Otherwise retention would keep them instead of good ones. They are not removed: that is for
  /// whoever has looked at them. The caller holds the run's lock.
  ///
  /// - Throws: `.file`.
  public static func setAside(
    _ rejected: [Rejected], in run: String
  ) throws(CheckpointError) {
    let directory = CheckpointDirectory(run: run)
    try CheckpointError.from { () throws(FileError) in
      for checkpoint in rejected {
        let path = directory.path(.damaged(step: checkpoint.step))
        try FileSystem.remove(path)
        try FileSystem.rename(checkpoint.path, to: path)
      }
    }
  }

  /// Gives checkpoints of a run that are newer than a step names that no longer count,
  /// `step-00001000.aside-1`: the run goes on from the older one.
  ///
  /// The caller holds the run's lock.
  ///
  /// - Returns: where they are now, newest first.
  /// - Throws: `.file`.
  public static func setAside(newerThan step: Int, in run: String) throws(CheckpointError)
    -> [String]
  {
    let directory = CheckpointDirectory(run: run)
    return try CheckpointError.from { () throws(FileError) in
      var paths: [String] = []
      for checkpoint in try directory.committed() where checkpoint.step > step {
        var number = 1
        while try FileSystem.exists(
          directory.path(.aside(step: checkpoint.step, number: number)))
        {
          number += 1
        }
        let path = directory.path(.aside(step: checkpoint.step, number: number))
        try FileSystem.rename(checkpoint.path, to: path)
        paths.append(path)
      }
      return paths
    }
  }

  /// The run that each committed checkpoint belongs to, newest first, as its manifest says.
  ///
  /// Checkpoints whose manifest is missing or damaged are left out.
  ///
  /// - Throws: `.file` when a directory or manifest cannot be read.
  public static func owners(in run: String) throws(CheckpointError) -> [(Entry, runID: String)] {
    var owners: [(Entry, runID: String)] = []
    for entry in try entries(in: run) {
      do throws(CheckpointError) {
        owners.append((entry, try CheckpointReader(path: entry.path).manifest.runID))
      } catch  where error.isDamage {
        continue
      }
    }
    return owners
  }

  /// The newest checkpoint that verifies.
  ///
  /// - Parameters:
  ///   - run: the run's directory.
  ///   - runID: the run to which it must belong; nil for any.
  ///   - last: the newest step that is looked at; nil for all.
  ///   - isInterrupted: asked before each shard; once it says true, `.interrupted` is thrown.
  /// - Returns: the checkpoint and the rejected newer ones, of which the caller should warn.
  /// - Throws: `.file` when a directory or file cannot be read: that is no damage, and no reason to go
  ///   back to an older checkpoint.
  public static func latestValid(
    in run: String, runID: String? = nil, notAfter last: Int? = nil,
    isInterrupted: (() -> Bool)? = nil
  ) throws(CheckpointError) -> Selection {
    var rejected: [Rejected] = []
    for entry in try entries(in: run) where entry.step <= last ?? entry.step {
      let problems: [CheckpointProblem]
      do throws(CheckpointError) {
        let reader = try CheckpointReader(path: entry.path, runID: runID)
        reader.isInterrupted = isInterrupted
        problems = try reader.verify()
        if problems.isEmpty { return Selection(reader: reader, rejected: rejected) }
      } catch  where error.isDamage {
        let path = entry.path + "/" + CheckpointManifest.fileName
        // Most errors begin with the file.
        let reason = error.description
        problems = [
          CheckpointProblem(
            path: path,
            reason: reason.hasPrefix(path + ": ")
              ? String(reason.dropFirst(path.count + 2)) : reason)
        ]
      }
      rejected.append(Rejected(step: entry.step, path: entry.path, problems: problems))
    }
    return Selection(reader: nil, rejected: rejected)
  }
}
