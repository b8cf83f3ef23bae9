import Files

/// Removes a run directory that holds nothing but the lock that this process has on it.
func removeUnusedRun(_ path: String) {
  guard (try? FileSystem.list(path)) == [".lock"] else { return }
  try? FileSystem.remove(path)
}
