import Files
import Foundation

/// A directory that disappears with its owner.
final class TemporaryDirectory {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/files " + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  func names() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: path).sorted()
  }

  /// The text of a file; nil if there is none.
  func text(_ name: String) -> String? {
    FileManager.default.contents(atPath: file(name)).map { String(decoding: $0, as: UTF8.self) }
  }

  func write(_ text: String, _ name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: file(name)))
  }
}

/// Counts calls and lets one of them fail.
final class FaultAt {
  private(set) var calls = 0
  let hook: (Int, FileCall, String) -> FileFaults.Fault?

  init(_ hook: @escaping (Int, FileCall, String) -> FileFaults.Fault?) { self.hook = hook }

  func callAsFunction(_ call: FileCall, _ path: String) -> FileFaults.Fault? {
    calls += 1
    return hook(calls - 1, call, path)
  }
}
