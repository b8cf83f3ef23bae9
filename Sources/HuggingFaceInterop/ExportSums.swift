import Compression
import Files
import Foundation

/// `XXH64SUMS`: the hash of every file of an export, as `xxhsum -c XXH64SUMS` checks them.
///
/// Nothing else of the ecosystem looks at weights before it uses them: one flipped bit loads as another
/// number. The model card is left out, for people edit it. They edit `config.json` too: another one than was
/// exported is told, but read.
enum ExportSums {
  static let fileName = "XXH64SUMS"

  /// Hashes the files of a directory that is about to become an export.
  static func write(in directory: String) throws(FileError) {
    var lines = ""
    for name in try FileSystem.list(directory).sorted() where isSummed(name) {
      lines += "\(try hash(directory + "/" + name))  \(name)\n"
    }
    try OutputFile.write(Array(lines.utf8), creating: directory + "/" + fileName)
  }

  private static func isSummed(_ name: String) -> Bool {
    ![fileName, ModelFileNames.card, ModelFileNames.secondCard, ExportDirectory.marker]
      .contains(name)
  }

  /// Compares weight files with what the export said of them; a directory without sums is not checked.
  ///
  /// - Parameters:
  ///   - names: the files, inside the directory.
  ///   - directory: a model directory.
  /// - Throws: `.malformed` naming the first file that is another, `.file` when one cannot be read.
  static func check(_ names: [String], in directory: String) throws(InteropError) {
    guard let (name, difference) = try differences(names, in: directory).first else { return }
    throw .malformed(
      file: directory + "/" + name,
      problem:
        "\(difference): it is damaged, or was changed after the export; take it from a good copy, or "
        + "remove \(fileName) if the change is meant")
  }

  /// What is known of a `config.json` that is not the exported one; nil where it is, or where nothing tells.
  static func changedConfiguration(in directory: String) throws(InteropError) -> String? {
    let name = ModelFileNames.config
    return try differences([name], in: directory).first.map { _, difference in
      "\(directory)/\(name) \(difference): it was edited or damaged after the export"
    }
  }

  /// The files that are not what the export said of them.
  private static func differences(
    _ names: [String], in directory: String
  ) throws(InteropError) -> [(name: String, difference: String)] {
    let path = directory + "/" + fileName
    guard let text = try InteropError.from(try InputFile.contentsIfPresent(of: path)) else {
      return []
    }
    let sums = parse(String(decoding: text, as: UTF8.self))
    var differences: [(String, String)] = []
    for name in names {
      guard let expected = sums[name] else { continue }
      let found = try InteropError.from(try hash(directory + "/" + name))
      if found != expected {
        differences.append((name, "has the hash \(found), \(fileName) says \(expected)"))
      }
    }
    return differences
  }

  private static let pieceByteCount = 8 << 20

  private static func hash(_ path: String) throws(FileError) -> String {
    let file = try MappedFile(path: path)
    file.adviseSequential()
    var hash = XXH64()
    // Piece by piece, so that no more of a large file is in memory.
    for start in stride(from: 0, to: file.byteCount, by: pieceByteCount) {
      let piece = start..<min(start + pieceByteCount, file.byteCount)
      hash.update(try file.slice(piece, field: "contents"))
      file.releasePages(piece)
    }
    return XXH64.hexadecimal(hash.digest())
  }

  /// Hashes by name; lines of another form are passed over.
  private static func parse(_ text: String) -> [String: String] {
    var sums: [String: String] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, parts[0].count == 16 else { continue }
      let name = parts[1].drop { $0 == " " || $0 == "*" }
      sums[String(name)] = parts[0].lowercased()
    }
    return sums
  }
}
