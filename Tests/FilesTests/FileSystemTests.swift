import Files
import Foundation
import Testing

@Suite struct FileSystemTests {
  /// The descriptor under which this process has `path` open.
  private func descriptor(of path: String) throws -> Int32? {
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
      let target = try? FileManager.default.destinationOfSymbolicLink(
        atPath: "/proc/self/fd/" + name)
      if target == path { return Int32(name) }
    }
    return nil
  }

  /// A directory that fails while it is read, for real: its descriptor becomes that of a device.
  @Test func aFailingReadIsNotTheEndOfAList() throws {
    let directory = try TemporaryDirectory()
    try directory.write("", "a")
    var isOpened = false
    #expect(throws: FileError.io(path: directory.path, operation: "list", code: ENOTDIR)) {
      try FileFaults { call, path in
        if isOpened, let open = try? descriptor(of: path) {
          let device = Glibc.open("/dev/null", O_RDONLY)
          dup2(device, open)
          close(device)
        }
        isOpened = call == .list
        return nil
      }.during { try FileSystem.list(directory.path) }
    }
    #expect(try FileSystem.list(directory.path) == ["a"])
  }

  @Test func whatCannotBeReadIsNotAbsent() throws {
    let directory = try TemporaryDirectory()
    let loop = directory.file("loop")
    try FileManager.default.createSymbolicLink(atPath: loop, withDestinationPath: "loop")
    let failure = FileError.io(path: loop, operation: "stat", code: ELOOP)
    #expect(throws: failure) { try FileSystem.exists(loop) }
    #expect(throws: FileError.self) { try InputFile.contentsIfPresent(of: loop) }
    #expect(throws: FileError.self) { try FileSystem.listIfPresent(loop) }
    for absent in ["nothing", "nothing/below"] {
      #expect(try !FileSystem.exists(directory.file(absent)))
      #expect(try InputFile.contentsIfPresent(of: directory.file(absent)) == nil)
      #expect(try FileSystem.listIfPresent(directory.file(absent)) == [])
    }
    #expect(throws: FileError.self) { try FileSystem.list(directory.file("nothing")) }
    for code in [EIO, ESTALE, EMFILE, EACCES] {
      #expect(throws: FileError.self) {
        try FileFaults { _, _ in .fail(code) }.during {
          try InputFile.contentsIfPresent(of: directory.file("nothing"))
        }
      }
    }
  }

  /// A network file system that loses its server for a moment costs no run.
  @Test(arguments: [ESTALE, EIO, EMFILE])
  func readingIsTriedAgain(_ code: Int32) throws {
    let directory = try TemporaryDirectory()
    try directory.write("text", "file")
    var calls = 0
    let bytes = try FileFaults { _, _ in
      calls += 1
      return calls <= 3 ? .fail(code) : nil
    }.during { try InputFile.contents(of: directory.file("file")) }
    #expect(bytes == Array("text".utf8) && calls > 4)
    // What is refused for good is refused at once, and writing is never repeated.
    for (refusal, call) in [(EACCES, FileCall.open), (EIO, .create)] {
      var asked = 0
      #expect(throws: FileError.self) {
        try FileFaults { made, _ in
          guard made == call else { return nil }
          asked += 1
          return .fail(refusal)
        }.during {
          if call == .open {
            _ = try InputFile.contents(of: directory.file("file"))
          } else {
            try OutputFile.write([1], creating: directory.file("new"))
          }
        }
      }
      #expect(asked == 1)
    }
  }

  @Test func makesAndRemovesTrees() throws {
    let directory = try TemporaryDirectory()
    let deep = directory.file("a/b/c")
    try FileSystem.createDirectories(deep)
    try FileSystem.createDirectories(deep)
    #expect(try !FileSystem.createDirectory(deep))
    try directory.write("x", "a/b/file")
    #expect(throws: FileError.self) { try FileSystem.createDirectories(deep + "/../file") }
    try FileManager.default.createSymbolicLink(
      atPath: directory.file("a/link"), withDestinationPath: directory.path)
    try FileSystem.remove(directory.file("a"))
    try FileSystem.remove(directory.file("a"))
    #expect(try directory.names() == [])
  }

  @Test(arguments: [false, true])
  func directoriesTakeEachOthersPlace(withoutExchange: Bool) throws {
    let directory = try TemporaryDirectory()
    for name in ["first", "second"] {
      try FileSystem.createDirectories(directory.file(name))
      try directory.write(name, name + "/file")
    }
    let target = directory.file("target")
    func replace(_ name: String) throws -> String? {
      try FileFaults { call, _ in
        withoutExchange && call == .exchange ? .fail(EINVAL) : nil
      }.during {
        try FileSystem.replace(
          directory: target, with: directory.file(name), movingPreviousTo: directory.file("aside"))
      }
    }
    #expect(try replace("first") == nil)
    #expect(try replace("second") == directory.file(withoutExchange ? "aside" : "second"))
    #expect(directory.text("target/file") == "second")
    #expect(directory.text((withoutExchange ? "aside" : "second") + "/file") == "first")
  }
}
