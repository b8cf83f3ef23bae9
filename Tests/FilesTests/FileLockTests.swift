import Files
import Foundation
import Testing

@Suite struct FileLockTests {
  @Test func aLinkIsNotFollowed() throws {
    let directory = try TemporaryDirectory()
    try directory.write("precious", "target")
    #expect(symlink(directory.file("target"), directory.file("lock")) == 0)
    #expect(throws: FileError.self) { try FileLock(file: directory.file("lock")) }
    #expect(try InputFile.contents(of: directory.file("target")) == Array("precious".utf8))
  }

  @Test func oneHolderAtATime() throws {
    let directory = try TemporaryDirectory()
    let first = try FileLock(file: directory.file("lock"))
    #expect(first.state == .held)
    try first.write(Array("who".utf8))
    let second = try FileLock(file: directory.file("lock"))
    #expect(second.state == .heldElsewhere)
    #expect(try second.text() == Array("who".utf8))
    first.release()
    #expect(try FileLock(existing: directory.file("lock")).state == .held)
  }
}
