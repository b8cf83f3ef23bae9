import Compression
import Foundation
import Testing
import TokenData

/// Tokenizes the named files of a directory to its data set `out`.
func tokenize(
  _ directory: TemporaryDirectory, _ names: [String],
  with tokenizer: any Tokenizer = ByteTokenizer(),
  _ change: (inout TextTokenizer) -> Void = { _ in },
  progress: (TextTokenizer.Progress) -> Void = { _ in }
) throws -> TextTokenizer.Result {
  var work = TextTokenizer(tokenizer: tokenizer, outputPrefix: directory.file("out"))
  change(&work)
  return try work.run(
    names.map { try TextInput(path: directory.file($0)) }, progress: progress)
}

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
    let made = try tokenize(
      directory, ["a.txt", "b.jsonl"], progress: { reports.append($0.counts.documents) })
    let summary = made.manifest.counts
    let texts: [[UInt8]] = [Array("one\ntwo".utf8), Array("h\u{E9}\n".utf8), Array("z".utf8)]
    #expect(try tokens(directory) == texts.flatMap { $0.map { Int32($0) } + [256] })
    #expect(reports == [1, 1, 3, 3])
    #expect(summary.documents == 3 && summary.tokens == 15 && summary.textBytes == 12)
  }

  @Test func templatesAreApplied() throws {
    let directory = try TemporaryDirectory()
    try directory.write("the grass\n".utf8, to: "a.txt")
    let tokenizer = try loadTokenizer(Fixtures.tokenizers + "/sentencepiece")
    _ = try tokenize(directory, ["a.txt"], with: tokenizer)
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
    _ = try tokenize(directory, ["a.jsonl.zst"])
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
    ("a.jsonl.zst", "", "a.jsonl.zst: compression: holds nothing; was a download cut?"),
    ("a.jsonl.gz", "{}", "a.jsonl.gz: compression: is not gzip-compressed as its name says"),
    ("a.json", "[{\"text\": \"x\"}", "a.json: line 1: the array has no end; was the file cut?"),
    (
      "a.json", "[{\"text\": \"x\"},\n {\"text\": 1}]",
      "a.json: line 2, column 11: expected a string"
    ),
    ("a.json", "[1, 2]", "a.json: line 1, column 2: expected '{'"),
    (
      "a.json", "[{\"text\": \"x\"}, {\"text\": 1}]",
      "a.json: line 1, column 26: expected a string"
    ),
    (
      "a.json", "[{\"text\": \"x\"}, {\"body\": 1}]",
      "a.json: line 1, column 17: has no member 'text'"
    ),
    (
      "a.json", "[\n{\"text\": \"x\"},  {\"body\":\n1}, {\"text\": 1}]",
      "a.json: line 2, column 17: has no member 'text'"
    ),
    (
      "a.json", "[{\"a\":\n1, \"text\": \"x\"}, {\"text\": 1}]",
      "a.json: line 2, column 27: expected a string"
    ),
    ("a.parquet", "PAR1", "a.parquet: file name: Parquet is read through a pipe"),
    ("a.csv", "x", "a.csv: file name: must end in"),
    ("a.jsonl.zst", "not zstd", "a.jsonl.zst: compression: is not zstd-compressed"),
  ])
  func badInputIsNamedAndLeavesNothing(_ name: String, _ text: String, _ message: String) throws {
    let directory = try TemporaryDirectory()
    try directory.write(text.utf8, to: name)
    do {
      _ = try tokenize(directory, [name])
      Issue.record("accepted")
    } catch {
      #expect("\(error)".contains(message), "\(error)")
    }
    #expect(try directory.names == [name])
  }

  /// A line that comes in many pieces: its columns count from its beginning.
  @Test func columnsCountFromTheLinesBeginning() throws {
    let directory = try TemporaryDirectory()
    let element = "{\"text\": \"" + String(repeating: "x", count: 999_990) + "\"}, "
    let text = "\n[" + String(repeating: element, count: 5)
    try directory.write((text + "{\"text\": 1}]").utf8, to: "a.json")
    let error = #expect(throws: TokenDataError.self) { try tokenize(directory, ["a.json"]) }
    let place = "a.json: line 2, column \(text.utf8.count + 9): expected a string"
    #expect(
      error?.description.contains(place) == true, "\(String(describing: error)), not \(place)")
  }

  /// Runs the reader and returns the documents, as the byte tokenizer's text.
  private func documents(
    _ directory: TemporaryDirectory, _ name: String, _ change: (inout TextReading) -> Void
  ) throws -> (texts: [String], skipped: [SkippedDocument], count: Int) {
    let made = try tokenize(directory, [name]) { change(&$0.reading) }
    let texts = try tokens(directory).split(separator: 256).map { part in
      String(decoding: part.map { UInt8($0) }, as: UTF8.self)
    }
    return (texts, made.skipped, made.manifest.counts.skipped)
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
    let report = String(decoding: try directory.read("out.skipped.jsonl"), as: UTF8.self)
    #expect(report.split(separator: "\n").count == 4)
    #expect(report.contains(#""place": "line 5", "reason": "has no member 'text'"}"#), "\(report)")
    #expect(read.count == 4)
    let places = [
      "line 2, column 1:", "line 3, column 12:", "line 4, column 10:", "line 5: has no",
    ]
    for (found, place) in zip(read.skipped, places) {
      #expect(found.description.contains(place), "\(found)")
    }
  }

  @Test func badTextIsMendedOnRequest() throws {
    let directory = try TemporaryDirectory()
    try directory.write(Self.damaged, to: "a.jsonl")
    let read = try documents(directory, "a.jsonl") { $0.badInput = .replace }
    #expect(read.texts == ["one", "a\u{FFFD}b\u{FFFD}\u{1F600}", "c\u{FFFD}d", "two"])
    #expect(read.count == 2)
  }

  @Test func onlyTheFirstTenBadLinesAreNamed() throws {
    let directory = try TemporaryDirectory()
    let lines = String(repeating: "x\n", count: 25) + "{\"text\": \"one\"}"
    try directory.write(lines.utf8, to: "a.jsonl")
    let read = try documents(directory, "a.jsonl") { $0.badInput = .skip }
    #expect(read.count == 25 && read.skipped.count == 10)
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
    #expect(read.texts == ["x"] && read.count == 1)
  }

  @Test func textThatIsNotUTF8IsRefused() throws {
    let directory = try TemporaryDirectory()
    try directory.write([0x61, 0xFF], to: "a.txt")
    #expect(throws: TokenDataError.self) {
      try tokenize(directory, ["a.txt"])
    }
  }

  @Test(arguments: [
    (DocumentEnds.Beginning.template, DocumentEnds.End.always, [1, 2]),
    (.template, .never, [1]), (.always, .never, [1]), (.never, .always, [2]), (.never, .never, []),
  ])
  func endsAreAsAskedFor(
    _ beginning: DocumentEnds.Beginning, _ end: DocumentEnds.End, _ special: [Int32]
  ) throws {
    let directory = try TemporaryDirectory()
    try directory.write("the grass".utf8, to: "a.txt")
    _ = try tokenize(
      directory, ["a.txt"], with: loadTokenizer(Fixtures.tokenizers + "/sentencepiece")
    ) { ($0.ends.beginning, $0.ends.end) = (beginning, end) }
    #expect(try tokens(directory).filter { $0 == 1 || $0 == 2 } == special)
  }

  @Test func endsThatTheTokenizerLacksAreRefused() throws {
    let directory = try TemporaryDirectory()
    try directory.write("x".utf8, to: "a.txt")
    #expect(throws: TokenDataError.self) {
      try tokenize(directory, ["a.txt"]) { $0.ends.beginning = .always }
    }
    #expect(try directory.names == ["a.txt"])
  }

  /// Batches of many sizes, some documents bad, on one thread and on several.
  @Test func theOutputDoesNotDependOnThreads() throws {
    let directory = try TemporaryDirectory()
    var names: [String] = []
    for file in 0..<7 {
      var text = ""
      for line in 0..<(file * 700) {
        let word = String(repeating: "w\(line % 13) ", count: line % 400)
        text += line % 97 == 5 ? "bad\n" : "{\"text\": \"\(file) \(word)\"}\n"
      }
      names.append("f\(file).jsonl")
      try directory.write(text.utf8, to: names[file])
    }
    var first: [[UInt8]] = []
    for threads in [1, 2, 3, 8] {
      let made = try tokenize(directory, names) {
        $0.threads = threads
        $0.reading.badInput = .skip
      }
      #expect(made.empty == [directory.file("f0.jsonl")])
      let files = try [".bin", ".idx", ".manifest.json", ".skipped.jsonl"].map {
        try directory.read("out" + $0)
      }
      if first.isEmpty { first = files }
      #expect(files == first)
    }
    // The error is that of the first bad line whichever thread is faster.
    for threads in [1, 8] {
      #expect {
        try tokenize(directory, Array(names.dropFirst())) { $0.threads = threads }
      } throws: { "\($0)".contains("f1.jsonl: line 6, column 1: expected '{'") }
    }
  }

  @Test func theManifestSaysWhatTheTokensWereMadeFrom() throws {
    let directory = try TemporaryDirectory()
    try directory.write("{\"text\": \"ab\"}\n{\"text\": \"c\"}\n".utf8, to: "a.jsonl")
    try directory.write("xyz".utf8, to: "b.txt")
    let made = try tokenize(directory, ["a.jsonl", "b.txt"])
    let manifest = try #require(try TokenManifest(prefix: directory.file("out")))
    #expect(manifest == made.manifest)
    #expect(manifest.vocabulary == .init(name: "byte", hash: "byte", size: 257))
    #expect(manifest.counts.documents == 3 && manifest.counts.tokens == 9)
    #expect(manifest.counts.textBytes == 6 && manifest.counts.largest == 256)
    #expect(manifest.sources.map(\.counts.documents) == [2, 1])
    for (part, name) in [(manifest.tokens, "out.bin"), (manifest.index, "out.idx")] {
      let bytes = try directory.read(name)
      #expect(part.byteCount == bytes.count)
      #expect(bytes.withUnsafeBytes { part.hash == XXH64.hexadecimal(XXH64.hash($0)) })
    }
    let source = try directory.read("a.jsonl")
    #expect(
      source.withUnsafeBytes { manifest.sources[0].hash == XXH64.hexadecimal(XXH64.hash($0)) })
  }
}
