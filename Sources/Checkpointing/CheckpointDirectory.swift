import Files

/// The `checkpoints` directory of a run: paths and listing.
struct CheckpointDirectory {
  /// The run's directory.
  let run: String

  /// `<run>/checkpoints`.
  var path: String { run + "/checkpoints" }

  func path(_ name: CheckpointName) -> String { path + "/" + name.text }

  /// All directories of ours, in the order of their names.
  func names() throws(FileError) -> [CheckpointName] {
    try FileSystem.listIfPresent(path).compactMap(CheckpointName.init)
  }

  /// The committed checkpoints, newest first.
  ///
  /// A checkpoint whose replacement was interrupted between two renames counts under its interim
  /// name.
  func committed() throws(FileError) -> [(step: Int, path: String)] {
    var paths: [Int: String] = [:]
    for name in try names() {
      switch name {
      case .committed(let step): paths[step] = path(name)
      case .replaced(let step) where paths[step] == nil: paths[step] = path(name)
      default: break
      }
    }
    return paths.sorted { $0.key > $1.key }.map { (step: $0.key, path: $0.value) }
  }

  /// Takes a checkpoint's name away, then its files: it never looks whole while it is not.
  func retire(_ path: String, step: Int) throws(FileError) {
    let doomed = self.path(.deleting(step: step))
    try FileSystem.remove(doomed)
    try FileSystem.rename(path, to: doomed)
    try FileSystem.remove(doomed)
  }
}
