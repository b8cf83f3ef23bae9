import Files
import Foundation

/// The directory in which a parser works; it must touch nothing outside.
final class FuzzRoom {
  /// Where it is.
  let path: String
  private var strays: [String] = []

  /// Makes an empty directory of this process, in memory where that is possible: then `fsync` costs nothing.
  init(below parent: String) throws {
    let parent = URL(fileURLWithPath: parent).resolvingSymlinksInPath().path
    path = parent + "/room-\(getpid())"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  /// Removes it.
  func remove() { try? FileManager.default.removeItem(atPath: path) }

  /// The path of a file in it.
  func file(_ name: String) -> String { path + "/" + name }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ bytes: [UInt8], _ name: String) throws -> String {
    let path = file(name)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    defer { close(descriptor) }
    let written = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
    guard written == bytes.count else { throw POSIXError(.ENOSPC) }
    return path
  }

  /// The contents of a file in it.
  func read(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: file(name))))
  }

  /// The name that a path in it has there.
  func local(_ path: String) -> String { String(path.dropFirst(self.path.count + 1)) }

  /// Makes a directory in it and returns its path.
  @discardableResult
  func directory(_ name: String) throws -> String {
    try FileManager.default.createDirectory(
      atPath: file(name), withIntermediateDirectories: true)
    return file(name)
  }

  /// Calls `body` and notes every file that it touches outside.
  func guarding(_ body: () throws -> Void) rethrows {
    strays = []
    let faults = FileFaults { [self] _, path in
      let isInside = path == self.path || path.hasPrefix(self.path + "/")
      if !isInside || path.split(separator: "/").contains("..") { strays.append(path) }
      return nil
    }
    try faults.during(body)
  }

  /// A file outside that was touched last.
  var stray: String? { strays.last }
}

/// A file of the committed fixtures, `gla/plain/config.json`.
func fixture(_ name: String) throws -> [UInt8] {
  let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures")
  return [UInt8](try Data(contentsOf: fixtures.appendingPathComponent(name)))
}

/// Inputs that a parser once did wrong with, `Inputs/PARSER-WHAT.input`: every campaign begins with them.
func keptInputs(_ parser: String) throws -> [[UInt8]] {
  let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("Inputs")
  return try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
    .filter { $0.hasPrefix(parser + "-") && !$0.dropFirst(parser.count + 1).contains("-") }
    .map { [UInt8](try Data(contentsOf: directory.appendingPathComponent($0))) }
}

extension [UInt8] {
  /// The bytes as text, those that are no text replaced.
  var text: String { String(decoding: self, as: UTF8.self) }
}
