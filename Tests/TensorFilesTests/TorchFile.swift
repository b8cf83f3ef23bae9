import Files
import Foundation
import TensorFiles
import Testing

/// Files as `torch.save` writes them, entry by entry.
enum TorchFile {
  /// An archive of these entries in one folder.
  static func archive(_ entries: [(name: String, data: [UInt8])]) -> [UInt8] {
    var zip = ZipWriter()
    var bytes: [UInt8] = []
    for (name, data) in entries {
      bytes += zip.header(
        name: "archive/" + name, byteCount: data.count, checksum: CRC32(data).value)
      bytes += data
    }
    return bytes + zip.directory()
  }

  /// An archive of a pickle and storages.
  static func archive(pickle: [UInt8], storages: [[UInt8]] = []) -> [UInt8] {
    archive([("data.pkl", pickle)] + storages.enumerated().map { ("data/\($0)", $1) })
  }

  /// What is in a file of these contents, and the file.
  static func read(_ bytes: [UInt8]) throws -> (TorchCheckpoint, MappedFile) {
    let path = FileManager.default.temporaryDirectory.path + "/torch-\(UUID().uuidString).bin"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    let file = try MappedFile(path: path)
    return (try TorchCheckpoint(file), file)
  }

  /// Expects an error of class 65 that says `reason`, on one line.
  static func expectRefused(
    _ bytes: [UInt8], _ reason: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let error = #expect(throws: FileError.self, sourceLocation: sourceLocation) {
      try read(bytes)
    }
    let text = error?.description ?? ""
    #expect(
      text.contains(reason) && !text.contains("\n"), "\(text)", sourceLocation: sourceLocation)
    #expect(error?.exitCode == 65, sourceLocation: sourceLocation)
  }
}

extension [UInt8] {
  /// Replaces bytes from an offset on.
  mutating func put(_ integer: some FixedWidthInteger, at offset: Int) {
    Swift.withUnsafeBytes(of: integer.littleEndian) { bytes in
      replaceSubrange(offset..<(offset + bytes.count), with: bytes)
    }
  }

  /// Where `bytes` begin first.
  func offset(of bytes: [UInt8]) -> Int? {
    indices.first { self[$0...].starts(with: bytes) }
  }
}
