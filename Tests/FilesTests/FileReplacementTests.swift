import Files
import Foundation
import Testing

@Suite struct FileReplacementTests {
  /// Replaces the pair `set.bin` and `set.idx` by files that hold `text`.
  private func writePair(_ text: String, in directory: TemporaryDirectory) throws {
    let pair = try FileReplacement([directory.file("set.bin"), directory.file("set.idx")])
    for file in pair.files { try file.write(Array(text.utf8)) }
    try pair.commit()
  }

  /// What a reader finds: the text that both files hold, nil when the set does not open.
  private func read(_ directory: TemporaryDirectory) throws -> String? {
    guard let index = directory.text("set.idx") else { return nil }
    #expect(directory.text("set.bin") == index, "the set is mixed")
    return index
  }

  @Test(arguments: [false, true])
  func aCrashBeforeAnyCallNeverMixesAPair(replacing: Bool) throws {
    var k = 0
    var isDone = false
    while !isDone {
      let directory = try TemporaryDirectory()
      if replacing { try writePair("old", in: directory) }
      let fault = FaultAt { call, _, _ in call == k ? .crash : nil }
      do {
        try FileFaults(fault.callAsFunction).during { try writePair("new", in: directory) }
        isDone = true
      } catch {
        let found = try read(directory)
        #expect([nil, "new", replacing ? "old" : nil].contains(found), "call \(k)")
        // The next writer puts back what was there before it replaces anything.
        let next = try FileReplacement([directory.file("set.bin"), directory.file("set.idx")])
        if replacing { #expect(try read(directory) != nil, "call \(k)") }
        for file in next.files { try file.write(Array("next".utf8)) }
        try next.commit()
        #expect(try read(directory) == "next", "call \(k)")
      }
      #expect(try directory.names() == ["set.bin", "set.idx"], "call \(k)")
      k += 1
    }
    #expect(k > 20, "only \(k) calls were seen")
  }

  @Test(arguments: [EIO, ENOSPC])
  func anErrorInAnyCallLeavesTheOldPair(code: Int32) throws {
    var k = 0
    var isDone = false
    while !isDone {
      let directory = try TemporaryDirectory()
      try writePair("old", in: directory)
      let fault = FaultAt { call, _, _ in call == k ? .fail(code) : nil }
      var published = false
      do {
        try FileFaults { call, path in
          if call == .rename, path.contains("set.idx.partial") { published = true }
          return fault(call, path)
        }.during { try writePair("new", in: directory) }
        isDone = fault.calls <= k
      } catch let error as FileError {
        #expect(error.exitCode == 74)
        #expect("\(error)".contains(String(cString: strerror(code))), "\(error)")
        #expect(try read(directory) == "old" || published, "call \(k): \(error)")
        #expect(try read(directory) != nil, "call \(k): \(error)")
        #expect(try !directory.names().contains { $0.contains("partial") }, "call \(k)")
      }
      k += 1
    }
    #expect(k > 20, "only \(k) calls were seen")
  }

  @Test func theOldSealGoesBeforeAndTheNewOneComesAfterEverythingElse() throws {
    let directory = try TemporaryDirectory()
    try writePair("old", in: directory)
    var trace: [String] = []
    try FileFaults { call, path in
      let name = FileSystem.name(of: path).split(separator: "-")[0]
      if [.rename, .sync].contains(call) {
        trace.append(path == directory.path ? "\(call) ." : "\(call) \(name)")
      }
      return nil
    }.during { try writePair("new", in: directory) }
    #expect(
      trace == [
        "sync set.bin.partial", "sync set.idx.partial", "rename set.idx", "rename set.bin",
        "sync .", "rename set.bin.partial", "rename set.idx.partial", "sync .",
      ])
  }

  @Test func partialFilesOfLivingWritersStay() throws {
    let directory = try TemporaryDirectory()
    let living = try FileReplacement([directory.file("a")])
    try living.files[0].write(Array("living".utf8))
    try directory.write("dead", "a.partial-1-0")
    try directory.write("of another file", "b.partial-1-0")
    try directory.write("not ours", "a.partial-x")
    try FileReplacement.write(Array("second".utf8), to: directory.file("a"))
    #expect(directory.text("a") == "second")
    #expect(try !directory.names().contains("a.partial-1-0"))
    #expect(
      try directory.names().filter { $0 != FileSystem.name(of: living.files[0].path) }
        == ["a", "a.partial-x", "b.partial-1-0"])
    try living.commit()
    #expect(directory.text("a") == "living")
  }

  @Test func withoutCommitNothingAppears() throws {
    let directory = try TemporaryDirectory()
    try directory.write("old", "a")
    do {
      let file = try FileReplacement([directory.file("a")])
      try file.files[0].write(Array("new".utf8))
    }
    #expect(directory.text("a") == "old")
    #expect(try directory.names() == ["a"])
  }

  @Test func aDirectoryIsNotReplaced() throws {
    let directory = try TemporaryDirectory()
    try FileManager.default.createDirectory(
      atPath: directory.file("set.idx"), withIntermediateDirectories: false)
    #expect(
      throws: FileError.io(path: directory.file("set.idx"), operation: "create", code: EISDIR)
    ) { try writePair("new", in: directory) }
    #expect(try directory.names() == ["set.idx"])
  }

  @Test func linksAreFollowedAndDevicesWrittenTo() throws {
    let directory = try TemporaryDirectory()
    try directory.write("old", "file")
    try FileManager.default.createSymbolicLink(
      atPath: directory.file("link"), withDestinationPath: "file")
    try FileReplacement.write(Array("new".utf8), to: directory.file("link"))
    #expect(directory.text("file") == "new")
    #expect(try FileSystem.kind(of: directory.file("link"), followingLinks: false) == .link)
    try FileReplacement.write([1, 2, 3], to: "/dev/null")
    #expect(
      throws: FileError.io(path: "/dev/full", operation: "write", code: ENOSPC)
    ) { try FileReplacement.write([1, 2, 3], to: "/dev/full") }
  }

  @Test func aPairMayLieBehindLinks() throws {
    let (directory, large) = (try TemporaryDirectory(), try TemporaryDirectory())
    try large.write("old", "tokens")
    try directory.write("old", "set.idx")
    try FileManager.default.createSymbolicLink(
      atPath: directory.file("set.bin"), withDestinationPath: large.file("tokens"))
    try writePair("new", in: directory)
    #expect(try read(directory) == "new")
    #expect(large.text("tokens") == "new")
    #expect(try large.names() == ["tokens"])
    #expect(try directory.names() == ["set.bin", "set.idx"])
  }

  @Test func shortWritesAreContinued() throws {
    let directory = try TemporaryDirectory()
    let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 % 251) }
    try FileFaults { call, _ in call == .write ? .shortWrite : nil }.during {
      let file = try FileReplacement([directory.file("a")])
      try file.files[0].write(Array(bytes[..<10]))
      try file.files[0].write(Array(bytes[10..<2_500_000]))
      try file.files[0].write(Array(bytes[2_500_000...]))
      try file.commit()
    }
    #expect(try InputFile.contentsIfPresent(of: directory.file("a")) == bytes)
  }
}
