import Files
import Foundation
import Testing

@Suite struct AppendedFileTests {
  @Test func aRecordThatFailsLeavesNothing() throws {
    let directory = try TemporaryDirectory()
    var file = try AppendedFile(path: directory.file("log"))
    try file.append(Array("one\n".utf8))
    var writes = 0
    #expect(throws: FileError.io(path: file.path, operation: "write", code: ENOSPC)) {
      try FileFaults { call, _ in
        guard call == .write else { return nil }
        writes += 1
        return writes == 1 ? .shortWrite : .fail(ENOSPC)
      }.during { try file.append(Array("two, which is torn\n".utf8)) }
    }
    #expect(directory.text("log") == "one\n")
    try file.append(Array("three\n".utf8))
    try file.synchronize()
    #expect(directory.text("log") == "one\nthree\n")
    file = try AppendedFile(path: directory.file("log"))
    try file.append(Array("four\n".utf8))
    #expect(directory.text("log") == "one\nthree\nfour\n")
  }
}
