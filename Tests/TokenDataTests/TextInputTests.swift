import Foundation
import Testing
import TokenData

/// Which files are read, and how documents are found in them.
@Suite struct TextInputTests {
  private func names(_ directory: TemporaryDirectory, _ arguments: [String]) throws -> [String] {
    try TextInput.resolve(arguments.map { $0 == "-" ? $0 : directory.file($0) }).map {
      $0.path.replacingOccurrences(of: directory.path + "/", with: "")
    }
  }

  private func tree() throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    for name in ["d", "d/e", "d/out.unfinished"] {
      try FileManager.default.createDirectory(
        atPath: directory.file(name), withIntermediateDirectories: true)
    }
    for name in [
      "d/b.jsonl", "d/a.txt.GZ", "d/e/c.ndjson.zst", "d/.hidden.txt", "d/notes.md",
      "d/out.manifest.json", "d/out.skipped.jsonl", "d/out.unfinished/skipped.jsonl", "x.json",
    ] {
      try directory.write("x".utf8, to: name)
    }
    return directory
  }

  @Test func directoriesPatternsAndFilesAreTakenInOrder() throws {
    let directory = try tree()
    let inside = ["d/a.txt.GZ", "d/b.jsonl", "d/e/c.ndjson.zst"]
    #expect(try names(directory, ["x.json", "d"]) == ["x.json"] + inside)
    #expect(try names(directory, ["d/*.jsonl", "-"]) == ["d/b.jsonl", "-"])
    #expect(try names(directory, ["[d]"]) == inside)
    #expect(try TextInput.resolve([directory.file("d/b.jsonl")]).map(\.format) == [.jsonl])
  }

  @Test(arguments: [
    (["none*"], "none*: input: no file of documents is there"),
    (["d", "d/../d/b.jsonl"], "d/b.jsonl: input: is named twice"),
    (["d/notes.md"], "d/notes.md: file name: must end in"),
  ])
  func argumentsThatStandForNothingAreRefused(_ arguments: [String], _ message: String) throws {
    let directory = try tree()
    do {
      _ = try names(directory, arguments)
      Issue.record("accepted")
    } catch {
      #expect("\(error)".contains(message), "\(error)")
    }
  }

  /// A file of JSON objects in every spelling, with text that looks like structure.
  @Test(arguments: ["array", "pretty", "lines", "stream", "bare"])
  func jsonFilesAreReadInEverySpelling(_ kind: String) throws {
    let directory = try TemporaryDirectory()
    let texts = [
      "a ] } \\ \"", "[1, {", "\n\u{1F600},", "", String(repeating: "x\\\"", count: 700_000),
    ]
    let lines = try texts.map { text in
      String(
        decoding: try JSONSerialization.data(
          withJSONObject: ["text": text, "m": ["a": [1, ["b": "]"]]]],
          options: kind == "pretty" ? [.prettyPrinted] : []), as: UTF8.self)
    }
    let text =
      switch kind {
      case "array": "[" + lines.joined(separator: ",") + "]\n"
      case "pretty": "\u{FEFF}\n[\n" + lines.joined(separator: ",\n") + "\n]"
      case "lines": lines.joined(separator: "\n") + "\n"
      case "stream": lines.joined(separator: " ")
      default: lines.joined()
      }
    try directory.write(text.utf8, to: "a.json")
    _ = try tokenize(directory, ["a.json"])
    let data = try MegatronTokens(prefix: directory.file("out"))
    let all = try data.array(from: 0, count: data.tokenCount)
    let read = all.split(separator: 256).map { part in
      String(decoding: part.map { UInt8($0) }, as: UTF8.self)
    }
    #expect(read == texts.filter { !$0.isEmpty })
  }

  /// Bad documents do not take the good ones around them along.
  @Test func badElementsAreLeftOutAlone() throws {
    let directory = try TemporaryDirectory()
    let text = """
      [{"text": "one"}, {"text" "x"}, 5, {"text": "cut
      {"text": "two"},
      {"text": "three"}]
      """
    try directory.write(text.utf8, to: "a.json")
    let made = try tokenize(directory, ["a.json"]) { $0.reading.badInput = .skip }
    #expect(made.manifest.counts.documents == 3)
    #expect(
      made.skipped.map(\.place) == ["line 1, column 27", "line 1, column 33", "line 1, column 45"])
  }

  /// An element that is too long is passed over; what follows is read.
  @Test(arguments: ["a.json", "a.jsonl", "a.txt"])
  func documentsHaveALimit(_ name: String) throws {
    let directory = try TemporaryDirectory()
    let long = String(repeating: "{]\\n", count: 700_000)
    let lines = ["{\"text\": \"\(long)\"}", "{\"text\": \"x\"}"]
    let text =
      name == "a.json" ? "[" + lines.joined(separator: ",") + "]" : lines.joined(separator: "\n")
    try directory.write(text.utf8, to: name)
    let limited = { (work: inout TextTokenizer) in
      work.longestDocument = 2_000_000
      work.reading.badInput = .skip
    }
    guard name != "a.txt" else {
      #expect(throws: TokenDataError.self) { try tokenize(directory, [name], limited) }
      return
    }
    let made = try tokenize(directory, [name], limited)
    #expect(made.manifest.counts.documents == 1)
    #expect(made.skipped.map(\.reason).first?.hasPrefix("has more than 2000000 bytes") == true)
  }
}
