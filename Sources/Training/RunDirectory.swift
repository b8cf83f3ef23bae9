import Foundation

/// Writes a small text file whole or not at all.
func writeAtomically(_ text: String, to path: String) throws {
  do {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
  } catch {
    throw TrainingError.io(path: path, reason: error.localizedDescription)
  }
}

/// Makes a directory and those above it.
func makeDirectory(_ path: String) throws {
  do {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  } catch {
    throw TrainingError.io(
      path: path, reason: "cannot make the folder: \(error.localizedDescription)")
  }
}

/// Removes a run directory that holds nothing but the lock that this process has on it.
func removeUnusedRun(_ path: String) {
  let files = FileManager.default
  guard (try? files.contentsOfDirectory(atPath: path)) == [".lock"] else { return }
  try? files.removeItem(atPath: path)
}

/// Whether two paths name the same directory, however they are written.
func isSameDirectory(_ one: String, _ other: String) -> Bool {
  var (a, b) = (stat(), stat())
  guard stat(one, &a) == 0, stat(other, &b) == 0 else { return false }
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino
}
