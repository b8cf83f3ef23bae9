import Foundation

/// What was found, one input and one line each, in a directory.
struct Findings {
  /// Where they go.
  let directory: String

  /// Keeps an input and what it did.
  ///
  /// - Parameters:
  ///   - parser: the parser's name.
  ///   - index: the input's number.
  ///   - seed: the campaign's seed.
  ///   - input: the input.
  ///   - problem: what it did, on one line.
  /// - Throws: what the system says when it cannot be written.
  func add(_ parser: String, index: Int, seed: UInt64, input: [UInt8], problem: String) throws {
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    let stem = "\(directory)/\(parser)-\(seed)-\(index)"
    try Data(input).write(to: URL(fileURLWithPath: stem + ".input"))
    let line = "\(parser): input \(index) of seed \(seed): \(problem); kept in \(stem).input\n"
    try Data(line.utf8).write(to: URL(fileURLWithPath: stem + ".txt"))
  }

  /// The lines of all that were found.
  var lines: [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    return names.filter { $0.hasSuffix(".txt") }.sorted().map { name in
      let bytes = FileManager.default.contents(atPath: directory + "/" + name) ?? Data()
      return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .newlines)
    }
  }
}
