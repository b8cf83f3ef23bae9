import Foundation
import TensorFiles
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
    #expect(throws: TensorFileError.self) { try file.slice(199..<201, field: "numbers") }
  }

  @Test func mapsAnEmptyFile() throws {
    let path = temporaryPath()
    defer { unlink(path) }
    try Data().write(to: URL(fileURLWithPath: path))
    #expect(try MappedFile(path: path).byteCount == 0)
  }

  @Test func namesWhatIsWrong() {
    let missing = temporaryPath()
    #expect(throws: TensorFileError.io(path: missing, operation: "open", code: ENOENT)) {
      try MappedFile(path: missing)
    }
    #expect(
      throws: TensorFileError.invalid(
        path: "/tmp", field: "file type", reason: "not a regular file")
    ) {
      try MappedFile(path: "/tmp")
    }
  }
}

@Suite("Git LFS pointers") struct GitLFSPointerTests {
  @Test func aPointerIsCalledByItsName() throws {
    let text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    let path = FileManager.default.temporaryDirectory.path + "/pointer-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    let file = try MappedFile(path: path)
    for read in [
      { try _ = SafetensorsHeader(file) }, { try _ = JSONValue(parsing: file.bytes, source: path) },
      { try file.requireFetched() },
    ] as [() throws -> Void] {
      let error = #expect(throws: TensorFileError.self) { try read() }
      #expect(error?.description.hasPrefix("\(path): contents: this is a Git LFS pointer") == true)
      #expect(error?.exitCode == 65)
    }
  }

  @Test(arguments: ["", "version", "version https://git-lfs.example/spec/v1 oid sha256:0 size 12"])
  func otherTextsAreNot(text: String) throws {
    let path = FileManager.default.temporaryDirectory.path + "/text-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    try MappedFile(path: path).requireFetched()
  }
}
