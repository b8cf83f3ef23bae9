import Compression
import Files
import Foundation

/// `XXH64SUMS`: the hash of every file of an export, as `xxhsum -c XXH64SUMS` checks them.
///
/// Nothing else of the ecosystem looks at weights before it uses them: one flipped bit loads as another
/// number. The model card is left out, for people edit it.
enum ExportSums {
  static let fileName = "XXH64SUMS"

  /// Hashes the files of a directory that is about to become an export.
  static func write(in directory: String) throws(FileError) {
    var lines = ""
    for name in try FileSystem.list(directory).sorted() where isSummed(name) {
      let file = try MappedFile(path: directory + "/" + name)
      lines += "\(XXH64.hexadecimal(XXH64.hash(file.bytes)))  \(name)\n"
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
    for name in names {
      guard let (found, expected) = try change(of: name, in: directory) else { continue }
      throw .malformed(
        file: directory + "/" + name,
        problem:
          "has the hash \(found), \(fileName) says \(expected): it is damaged, or was changed after "
          + "the export; take it from a good copy, or remove \(fileName) if the change is meant")
    }
  }

  /// What a user should know about a file that is meant to be edited; nil when it is as it was exported.
  static func note(on name: String, in directory: String) throws(InteropError) -> String? {
    guard try change(of: name, in: directory) != nil else { return nil }
    return
      "\(directory)/\(name) is not the file that was exported (\(fileName)): changed since, or damaged"
  }

  /// The hash of a file and the one that it should have; nil when they are the same, or nothing says.
  private static func change(
    of name: String, in directory: String
  ) throws(InteropError) -> (found: String, expected: String)? {
    let path = directory + "/" + fileName
    guard let text = try InteropError.from(try InputFile.contentsIfPresent(of: path)),
      let expected = parse(String(decoding: text, as: UTF8.self))[name]
    else { return nil }
    let file = try InteropError.from(try MappedFile(path: directory + "/" + name))
    file.adviseSequential()
    let found = XXH64.hexadecimal(XXH64.hash(file.bytes))
    return found == expected ? nil : (found, expected)
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
