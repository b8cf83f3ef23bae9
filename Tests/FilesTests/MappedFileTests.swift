import Files
import Foundation
import Testing

@Suite struct MappedFileTests {
  private func temporaryPath() -> String {
    FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
  }

  @Test func mapsAndSlices() throws {
    let path = temporaryPath()
    defer { unlink(path) }
    try Data((0..<200).map { UInt8($0) }).write(to: URL(fileURLWithPath: path))
    let file = try MappedFile(path: path)
    #expect(file.byteCount == 200)
    #expect(try Array(file.slice(10..<13, field: "numbers")) == [10, 11, 12])
    #expect(throws: FileError.self) { try file.slice(199..<201, field: "numbers") }
  }

  @Test func aPipeIsRefusedAtOnce() throws {
    let directory = try TemporaryDirectory()
    let path = directory.file("pipe")
    #expect(mkfifo(path, 0o600) == 0)
    let refusal = FileError.invalid(path: path, field: "file type", reason: "not a regular file")
    #expect(throws: refusal) { try MappedFile(path: path) }
  }

  @Test func mapsAnEmptyFile() throws {
    let path = temporaryPath()
    defer { unlink(path) }
    try Data().write(to: URL(fileURLWithPath: path))
    #expect(try MappedFile(path: path).byteCount == 0)
  }

  @Test func namesWhatIsWrong() {
    let missing = temporaryPath()
    #expect(throws: FileError.io(path: missing, operation: "open", code: ENOENT)) {
      try MappedFile(path: missing)
    }
    #expect(
      throws: FileError.invalid(
        path: "/tmp", field: "file type", reason: "not a regular file")
    ) {
      try MappedFile(path: "/tmp")
    }
  }
}
