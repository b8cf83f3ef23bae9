import Compression
import Foundation
import RecallTasks
import Testing
import TokenData

@Suite struct TextTokenizerTests {
  private func tokens(_ directory: TemporaryDirectory) throws -> [Int32] {
    let data = try MegatronTokens(prefix: directory.file("out"))
    return try data.array(from: 0, count: data.tokenCount)
  }

  @Test func documentsEndWithTheEndOfTextID() throws {
    let directory = try TemporaryDirectory()
    try directory.write("one\ntwo".utf8, to: "a.txt")
    let lines = #"{"text": "h\u00e9\n", "meta": {"x": NaN}}"# + "\n\n" + #"{"id": 1, "text": ""}"#
    try directory.write((lines + "\n" + #"{"text":"z"}"#).utf8, to: "b.jsonl")
    var reports: [Int] = []
    let summary = try TextTokenizer(
      tokenizer: ByteTokenizer(), outputPrefix: directory.file("out")
    ).run(files: [directory.file("a.txt"), directory.file("b.jsonl")]) {
      reports.append($0.documents)
    }
    let texts: [[UInt8]] = [Array("one\ntwo".utf8), Array("h\u{E9}\n".utf8), Array("z".utf8)]
    #expect(try tokens(directory) == texts.flatMap { $0.map { Int32($0) } + [256] })
    #expect(reports == [1, 2, 3])
    #expect(summary.documents == 3 && summary.tokens == 15 && summary.textBytes == 12)
  }

  @Test func templatesAreApplied() throws {
    let directory = try TemporaryDirectory()
    try directory.write("the grass\n".utf8, to: "a.txt")
    let tokenizer = try loadTokenizer(Fixtures.tokenizers + "/sentencepiece")
    _ = try TextTokenizer(tokenizer: tokenizer, outputPrefix: directory.file("out"))
      .run(files: [directory.file("a.txt")])
    let written = try tokens(directory)
    #expect(written.first == 1 && written.last == 2)
    #expect(tokenizer.decode(written) == "the grass\n")
  }

  /// The bytes as zstd frames.
  private func compressed(_ bytes: [UInt8]) throws -> [UInt8] {
    let compressor = try FrameCompressor(level: 1)
    return try bytes.withUnsafeBytes { bytes in
      var rest = bytes
      var result: [UInt8] = []
      while let frame = try compressor.next(&rest) { result += frame }
      if let frame = try compressor.finish() { result += frame }
      return result
    }
  }

  /// Lines longer than the reader's buffer, and many short ones, through zstd.
  @Test func compressedLinesAreRead() throws {
    let directory = try TemporaryDirectory()
    let documents =
      ["ab", String(repeating: "long ", count: 2_000_000), "cd"]
      + (0..<3000).map { "line \($0)" }
    let text = documents.map { #"{"text":"\#($0)"}"# }.joined(separator: "\n")
    try directory.write(try compressed(Array(text.utf8)), to: "a.jsonl.zst")
    _ = try TextTokenizer(tokenizer: ByteTokenizer(), outputPrefix: directory.file("out"))
      .run(files: [directory.file("a.jsonl.zst")])
    let data = try MegatronTokens(prefix: directory.file("out"))
    #expect(data.documentCount == documents.count)
    let all = try tokens(directory)
    let read = all.split(separator: 256).map { part in
      String(decoding: part.map { UInt8($0) }, as: UTF8.self)
    }
    #expect(read == documents)
  }

  @Test(arguments: [
    ("a.jsonl", "{\"text\": \"x\"}\n{\"body\": 1}\n", "a.jsonl: line 2: has no member 'text'"),
    ("a.jsonl", "{\"text\": \"x\"}\n\n{\"text\": 3}\n", "a.jsonl, line 3: line 1, column 10"),
    ("a.jsonl", "{\"text\": \"x\"", "a.jsonl, line 1: line 1, column 13"),
    ("a.csv", "x", "a.csv: file name: must end in"),
    ("a.jsonl.zst", "not zstd", "a.jsonl.zst: zstd"),
  ])
  func badInputIsNamedAndLeavesNothing(_ name: String, _ text: String, _ message: String) throws {
    let directory = try TemporaryDirectory()
    try directory.write(text.utf8, to: name)
    do {
      _ = try TextTokenizer(tokenizer: ByteTokenizer(), outputPrefix: directory.file("out"))
        .run(files: [directory.file(name)])
      Issue.record("accepted")
    } catch {
      #expect("\(error)".contains(message), "\(error)")
    }
    #expect(try directory.names == [name])
  }

  @Test func textThatIsNotUTF8IsRefused() throws {
    let directory = try TemporaryDirectory()
    try directory.write([0x61, 0xFF], to: "a.txt")
    #expect(throws: TokenDataError.self) {
      try TextTokenizer(tokenizer: ByteTokenizer(), outputPrefix: directory.file("out"))
        .run(files: [directory.file("a.txt")])
    }
  }
}
