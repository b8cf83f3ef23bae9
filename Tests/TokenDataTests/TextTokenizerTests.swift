import Compression
import Foundation
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
    (
      "a.jsonl", "{\"text\": \"x\"}\n\n{\"text\": 3}\n",
      "a.jsonl: line 3, column 10: expected a string"
    ),
    ("a.jsonl", "{\"text\": \"x\"", "a.jsonl: line 1, column 13: expected"),
    (
      "a.jsonl", "{\"text\": \"x\"}\n{\"text\": \"a\\ud83d \"}",
      #"a.jsonl: line 2, column 12: a lone surrogate \ud83d: half of a pair"#
    ),
    ("a.jsonl", "", "a.jsonl: documents: there are none"),
    ("a.jsonl", "\n{\"text\": \"\"}\n", "a.jsonl: documents: there are none, or none has any text"),
    ("a.txt", "\u{FEFF}", "a.txt: documents: there are none"),
    ("a.jsonl.zst", "", "a.jsonl.zst: zstd: holds nothing; was a download cut?"),
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

  /// Runs the reader and returns the documents, as the byte tokenizer's text.
  private func documents(
    _ directory: TemporaryDirectory, _ name: String, _ change: (inout TextReading) -> Void
  ) throws -> (texts: [String], skipped: SkippedDocuments) {
    var reading = TextReading()
    change(&reading)
    let made = try TextTokenizer(
      tokenizer: ByteTokenizer(), outputPrefix: directory.file("out"), reading: reading
    ).run(files: [directory.file(name)])
    let texts = try tokens(directory).split(separator: 256).map { part in
      String(decoding: part.map { UInt8($0) }, as: UTF8.self)
    }
    return (texts, made.skipped)
  }

  @Test(arguments: ["a.jsonl", "a.jsonl.zst", "a.txt"])
  func aByteOrderMarkIsSkipped(_ name: String) throws {
    let directory = try TemporaryDirectory()
    let text =
      name == "a.txt" ? "\u{FEFF}x" : "\u{FEFF}{\"text\": \"x\"}\n{\"text\": \"\u{FEFF}y\"}\n"
    let bytes = Array(text.utf8)
    try directory.write(name.hasSuffix("zst") ? compressed(bytes) : bytes, to: name)
    let read = try documents(directory, name) { _ in }
    #expect(read.texts == (name == "a.txt" ? ["x"] : ["x", "\u{FEFF}y"]))
  }

  @Test func anotherMemberMayHoldTheText() throws {
    let directory = try TemporaryDirectory()
    try directory.write("{\"text\": 3, \"content\": \"x\"}".utf8, to: "a.jsonl")
    #expect(try documents(directory, "a.jsonl") { $0.field = "content" }.texts == ["x"])
    #expect(throws: TokenDataError.self) { try documents(directory, "a.jsonl") { _ in } }
  }

  /// Good, no JSON, a lone surrogate, bytes that are not UTF-8, no text, good.
  private static let damaged =
    Array("{\"text\": \"one\"}\nnonsense\n{\"text\": \"a\\udc00b\\ud83d\\ud83d\\ude00\"}\n".utf8)
    + Array("{\"text\": \"c".utf8) + [0xFF] + Array("d\"}\n{\"x\": 1}\n{\"text\": \"two\"}\n".utf8)

  @Test func badLinesAreLeftOutOnRequest() throws {
    let directory = try TemporaryDirectory()
    try directory.write(Self.damaged, to: "a.jsonl")
    let read = try documents(directory, "a.jsonl") { $0.badInput = .skip }
    #expect(read.texts == ["one", "two"])
    #expect(read.skipped.count == 4)
    let places = [
      "line 2, column 1:", "line 3, column 12:", "line 4, column 10:", "line 5: has no",
    ]
    for (found, place) in zip(read.skipped.first, places) {
      #expect(found.contains(place), "\(found)")
    }
  }

  @Test func badTextIsMendedOnRequest() throws {
    let directory = try TemporaryDirectory()
    try directory.write(Self.damaged, to: "a.jsonl")
    let read = try documents(directory, "a.jsonl") { $0.badInput = .replace }
    #expect(read.texts == ["one", "a\u{FFFD}b\u{FFFD}\u{1F600}", "c\u{FFFD}d", "two"])
    #expect(read.skipped.count == 2)
  }

  @Test func onlyTheFirstTenBadLinesAreNamed() throws {
    let directory = try TemporaryDirectory()
    let lines = String(repeating: "x\n", count: 25) + "{\"text\": \"one\"}"
    try directory.write(lines.utf8, to: "a.jsonl")
    let read = try documents(directory, "a.jsonl") { $0.badInput = .skip }
    #expect(read.skipped.count == 25 && read.skipped.first.count == 10)
  }

  /// A small compressed file may hold a line of any length.
  @Test func aLineHasALimit() throws {
    let directory = try TemporaryDirectory()
    var text = Array("{\"text\": \"".utf8) + [UInt8](repeating: 0x61, count: 1 << 28)
    text += Array("\"}\n{\"text\": \"x\"}\n".utf8)
    try directory.write(try compressed(text), to: "a.jsonl.zst")
    do {
      _ = try documents(directory, "a.jsonl.zst") { _ in }
      Issue.record("accepted")
    } catch {
      #expect("\(error)".contains("a.jsonl.zst: line 1: has more than 268435456 bytes"), "\(error)")
    }
    let read = try documents(directory, "a.jsonl.zst") { $0.badInput = .skip }
    #expect(read.texts == ["x"] && read.skipped.count == 1)
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
