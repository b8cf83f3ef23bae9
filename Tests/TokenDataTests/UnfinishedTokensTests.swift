import Files
import Foundation
import Testing
import TokenData

/// Interrupted work: nothing is lost, nothing is done twice, nothing appears half.
@Suite struct UnfinishedTokensTests {
  private let names = ["a.jsonl", "b.txt", "c.jsonl"]

  private func inputs() throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    try directory.write("{\"text\": \"one\"}\nbad\n{\"text\": \"two\"}\n".utf8, to: "a.jsonl")
    try directory.write("three".utf8, to: "b.txt")
    try directory.write("{\"text\": \"four\"}\n".utf8, to: "c.jsonl")
    return directory
  }

  private func run(_ directory: TemporaryDirectory) throws -> TextTokenizer.Result {
    try tokenize(directory, names) {
      $0.reading.badInput = .skip
      $0.saveInterval = .zero
    }
  }

  private func outputs(_ directory: TemporaryDirectory) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for name in try directory.names where name.hasPrefix("out") && !name.hasSuffix(".unfinished") {
      files[name] = try directory.read(name)
    }
    return files
  }

  /// The process dies before every call into the file system in turn.
  @Test func workThatDiedAnywhereIsTakenUp() throws {
    let whole = try inputs()
    _ = try run(whole)
    let expected = try outputs(whole)
    #expect(expected.count == 4)
    var (call, takenUp, hasEnded) = (0, Set<Int>(), false)
    while !hasEnded {
      let directory = try inputs()
      var count = 0
      do {
        _ = try FileFaults { _, _ in
          count += 1
          return count > call ? .crash : nil
        }.during { try run(directory) }
        hasEnded = true
      } catch {
        let present = try outputs(directory).keys
        #expect(
          !present.contains("out.idx")
            || Set(present).isSuperset(of: ["out.bin", "out.manifest.json"]))
        if !present.contains("out.idx") { takenUp.insert(try run(directory).inputsTakenUp) }
        let found = try outputs(directory)
        #expect(relative(found, to: directory) == relative(expected, to: whole), "call \(call)")
      }
      call += 1
    }
    #expect(takenUp == [0, 1, 2, 3])
    #expect(call > 60)
  }

  /// Files with the directory's path left out of their text.
  private func relative(
    _ files: [String: [UInt8]], to directory: TemporaryDirectory
  ) -> [String: [UInt8]] {
    files.mapValues { bytes in
      let text = String(decoding: bytes, as: UTF8.self)
      return text.contains(directory.path)
        ? Array(text.replacingOccurrences(of: directory.path, with: "").utf8) : bytes
    }
  }

  /// A directory in which the first two inputs are done.
  private func interrupted() throws -> TemporaryDirectory {
    let directory = try inputs()
    try directory.write("{\"text\": 4}\n".utf8, to: "c.jsonl")
    #expect(throws: TokenDataError.self) {
      try tokenize(directory, ["b.txt", "c.jsonl"]) { $0.saveInterval = .zero }
    }
    #expect(try directory.names.contains("out.unfinished"))
    return directory
  }

  @Test func aMendedInputGoesOn() throws {
    let directory = try interrupted()
    try directory.write("{\"text\": \"four\"}\n".utf8, to: "c.jsonl")
    let made = try tokenize(directory, ["b.txt", "c.jsonl"])
    #expect(made.inputsTakenUp == 1 && made.manifest.counts.documents == 2)
    #expect(try !directory.names.contains("out.unfinished"))
  }

  @Test func badInputMayBeSkippedAfterAll() throws {
    let directory = try interrupted()
    let made = try tokenize(directory, ["b.txt", "c.jsonl"]) { $0.reading.badInput = .skip }
    #expect(made.inputsTakenUp == 1 && made.manifest.counts.skipped == 1)
  }

  /// Other settings, other inputs, an input that changed, and tokens that are not what was written.
  @Test(arguments: [
    ("field: the work there was begun with `text`, not `body`", 0),
    ("--eos: the work there was begun with `always`, not `never`", 1),
    ("tokenizer: the work there was begun with `byte (byte)`, not `sentencepiece", 2),
    ("input 1: the work there was begun with", 3),
    ("b.txt: input: has changed since it was tokenized", 4),
    ("tokens.bin: contents: is damaged", 5),
    ("lengths: size: 0 bytes, of which 4 are to be kept", 6),
  ])
  func whatDoesNotFitIsRefused(_ message: String, _ change: Int) throws {
    let directory = try interrupted()
    var names = ["b.txt", "c.jsonl"]
    var tokenizer: any Tokenizer = ByteTokenizer()
    if change == 2 { tokenizer = try loadTokenizer(Fixtures.tokenizers + "/sentencepiece") }
    if change == 3 { names = ["c.jsonl", "b.txt"] }
    if change == 4 { try directory.write("3".utf8, to: "b.txt") }
    if change == 5 {
      try directory.write(
        [UInt8](repeating: 9, count: 12), to: "out.unfinished/tokens.bin")
    }
    if change == 6 { try directory.write([], to: "out.unfinished/lengths") }
    func again(_ drops: Bool) throws -> TextTokenizer.Result {
      try tokenize(directory, names, with: tokenizer) {
        if change == 0 { $0.reading.field = "body" }
        if change == 1 { $0.ends.end = .never }
        $0.dropsOldWork = drops
      }
    }
    do {
      _ = try again(false)
      Issue.record("accepted")
    } catch {
      #expect("\(error)".contains(message), "\(error)")
    }
    guard change != 0 else { return }
    try directory.write("{\"text\": \"four\"}\n".utf8, to: "c.jsonl")
    let made = try again(true)
    #expect(made.inputsTakenUp == 0 && made.manifest.counts.documents == 2)
  }

  @Test func twoAtATimeAreRefused() throws {
    let directory = try interrupted()
    let lock = try FileLock(file: directory.file("out.unfinished/lock"))
    #expect(lock.state == .held)
    #expect {
      try tokenize(directory, ["b.txt", "c.jsonl"])
    } throws: { "\($0)".contains("another process is writing this data set") }
    lock.release()
  }
}
