import Files
import Foundation
import JSON
import TensorFiles
import Testing

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
      let error = #expect(throws: FileError.self) { try read() }
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
