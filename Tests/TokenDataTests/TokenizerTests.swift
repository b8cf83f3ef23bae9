import Foundation
import RecallTasks
import Testing
import TokenData

/// What the `tokenizers` library makes of texts.
struct TokenizerReference: Decodable {
  struct Case: Decodable {
    /// The ids without those of the template.
    let ids: [Int32]
    /// What all ids are decoded to, where that is not the text.
    let decoded: String?
  }

  /// The texts, where they are not those of all tokenizers.
  let texts: [String]?
  /// The template's ids before a text and after it.
  let before: [Int32]
  let after: [Int32]
  let cases: [Case]
}

enum Fixtures {
  static let tokenizers = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/tokenizers").path

  /// The names of the small tokenizers, one of each kind.
  static let names = [
    "bloom", "byte-level", "byte-level-nfc", "crossing", "deepseek-v3", "falcon", "gemma",
    "llama-3",
    "lowercase", "metaspace", "metaspace-always", "metaspace-never", "o200k", "phi-3", "qwen2",
    "roberta", "sentencepiece", "starcoder",
  ]

  static func texts() throws -> [String] { try decode([String].self, tokenizers + "/texts.json") }

  static func decode<Value: Decodable>(_ type: Value.Type, _ path: String) throws -> Value {
    try JSONDecoder().decode(type, from: Data(contentsOf: URL(fileURLWithPath: path)))
  }
}

@Suite struct TokenizerTests {
  @Test(arguments: Fixtures.names)
  func agreesWithTheReferenceLibrary(_ name: String) throws {
    let directory = Fixtures.tokenizers + "/" + name
    try expectAgreement(directory: directory, reference: directory + "/expected.json")
  }

  @Test func everyFixtureIsCompared() throws {
    let found = try FileManager.default.contentsOfDirectory(atPath: Fixtures.tokenizers)
      .filter {
        FileManager.default.fileExists(atPath: Fixtures.tokenizers + "/\($0)/expected.json")
      }
    #expect(found.sorted() == Fixtures.names)
  }

  /// Jamo, marks that decompose, marks that the library does not know, and 400 random mixtures.
  @Test func normalisesAsTheReferenceLibrary() throws {
    let directory = Fixtures.tokenizers + "/byte-level-nfc"
    try expectAgreement(directory: directory, reference: directory + "/form-c.json")
  }

  /// For tokenizers too large to commit: `STATEX_TOKENIZER_CASES=DIR:CASES`, the cases made by
  /// `make_tokenizer_fixtures.py --tokenizer DIR CASES`.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["STATEX_TOKENIZER_CASES"] != nil))
  func agreesOnAnotherTokenizer() throws {
    let value = try #require(ProcessInfo.processInfo.environment["STATEX_TOKENIZER_CASES"])
    let parts = value.split(separator: ":").map(String.init)
    try #require(parts.count == 2)
    try expectAgreement(directory: parts[0], reference: parts[1])
  }

  private func expectAgreement(directory: String, reference path: String) throws {
    let tokenizer = try HuggingFaceTokenizer(path: directory)
    let reference = try Fixtures.decode(TokenizerReference.self, path)
    let texts = try reference.texts ?? Fixtures.texts()
    try #require(texts.count == reference.cases.count && texts.count > 80)
    // Twice: the second pass finds its pieces in the cache.
    for (text, expected) in Array(zip(texts, reference.cases)) + Array(zip(texts, reference.cases))
    {
      let ids = reference.before + expected.ids + reference.after
      #expect(tokenizer.encode(text, addSpecial: true) == ids, "\(text)")
      #expect(tokenizer.encode(text, addSpecial: false) == expected.ids, "\(text)")
      let decoded = tokenizer.decode(ids)
      // By scalars: strings that are canonically equivalent compare equal.
      #expect(
        Array(decoded.unicodeScalars) == Array((expected.decoded ?? text).unicodeScalars), "\(text)"
      )
    }
  }
}

@Suite struct TokenizerFileTests {
  static let changes: [(file: String, from: String, to: String, message: String)] = [
    (
      "byte-level", #""type":"BPE""#, #""type":"Unigram""#,
      "model Unigram is not supported; supported: BPE"
    ),
    ("byte-level", #""type":"BPE""#, #""type":"WordPiece""#, "model WordPiece is not supported"),
    ("byte-level", #""dropout":null"#, #""dropout":0.1"#, "model.dropout is not supported"),
    (
      "byte-level", #""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#,
      "model.end_of_word_suffix is not supported"
    ),
    (
      "byte-level-nfc", #"{"type":"NFC"}"#, #"{"type":"Nmt"}"#,
      "normalizer Nmt is not supported; supported: Lowercase, NFC, NFD"
    ),
    (
      "metaspace", #""type":"Metaspace""#, #""type":"Whitespace""#,
      "pre_tokenizer Whitespace is not supported; supported: ByteLevel, Digits, Metaspace"
    ),
    ("metaspace", #""scheme":"first""#, #""scheme":"odd""#, "prepend_scheme odd"),
    ("metaspace", #""replacement":"\#u{2581}""#, #""replacement":"ab""#, "replacement: is not one"),
    (
      "qwen2", #"|\\s+(?!\\S)|"#, #"|\\s+$|"#, #"|\s+$|\s+ (`$` at character 101) is not supported"#
    ),
    ("qwen2", #"|\\s+(?!\\S)|"#, #"|\\s+?|"#, "a lazy quantifier at character"),
    ("qwen2", #""behavior":"Isolated""#, #""behavior":"Odd""#, "Split with behavior Odd"),
    ("qwen2", #"\\p{L}+"#, #"\\p{Greek}+"#, #"`\p{Greek}` at character"#),
    ("qwen2", #""Regex":"#, #""Regexp":"#, "Split.pattern: is neither a String nor a Regex"),
    (
      "falcon", #"{"type":"Digits","individual_digits":false}"#,
      #"{"type":"ByteLevel","add_prefix_space":false}"#, "pre_tokenizer ByteLevel after ByteLevel"
    ),
    ("sentencepiece", #""type":"Fuse""#, #""type":"CTC""#, "decoder CTC is not supported"),
    (
      "sentencepiece", #""type":"TemplateProcessing""#, #""type":"Odd""#,
      "post_processor Odd is not supported"
    ),
    (
      "sentencepiece", #""Sequence":{"id":"A""#, #""Sequence":{"id":"B""#,
      "post_processor.single: holds the text more than once, or another one"
    ),
    (
      "sentencepiece", #""ids":[1]"#, #""ids":[1.5]"#,
      "special_tokens.<s>.ids: expected token ids, found 1.5"
    ),
    ("sentencepiece", #""ids":[1]"#, #""ids":[1,"2"]"#, "<s>.ids: expected token ids, found \"2\""),
    ("sentencepiece", #""ids":[1]"#, #""ids":[-1]"#, "<s>.ids: expected token ids, found -1"),
    (
      "sentencepiece", #""ids":[1]"#, #""ids":[2147483647]"#,
      "post_processor.special_tokens: id 2147483647 is not in the vocabulary"
    ),
    (
      "metaspace-always", #""unk_token":"<unk>""#, #""unk_token":"<odd>""#,
      "model.unk_token: is not"
    ),
    ("gemma", #""content":"\n\n","single"#, #""content":"<pad>","single"#, "two are the same"),
    ("sentencepiece", "{", "[", "line 1, column 1"),
    (
      "sentencepiece", #""start":1"#, #""start":-9223372036854775808"#,
      "Strip.start: is not a number of characters"
    ),
    ("sentencepiece", #""stop":0"#, #""stop":0.5"#, "Strip.stop: is not a number of characters"),
  ]

  @Test(arguments: changes.indices)
  func unknownComponentsAreRefusedByName(_ i: Int) throws {
    let change = Self.changes[i]
    let directory = try TemporaryDirectory()
    let path = Fixtures.tokenizers + "/" + change.file + "/tokenizer.json"
    let original = try String(contentsOfFile: path, encoding: .utf8)
    let from = change.from.replacingOccurrences(of: #""scheme"#, with: #""prepend_scheme"#)
    let to = change.to.replacingOccurrences(of: #""scheme"#, with: #""prepend_scheme"#)
    let found = original.range(of: from)
    let range = try #require(found, "the fixture has no \(from)")
    try directory.write(
      original.replacingCharacters(in: range, with: to).utf8, to: "tokenizer.json")
    do {
      _ = try HuggingFaceTokenizer(path: directory.path)
      Issue.record("accepted: \(to)")
    } catch {
      #expect("\(error)".contains(change.message), "\(error)")
      #expect(error.exitCode == 65)
    }
  }

  @Test func stripMayAskForMoreThanThereIs() throws {
    let directory = try TemporaryDirectory()
    let path = Fixtures.tokenizers + "/sentencepiece/tokenizer.json"
    let original = try String(contentsOfFile: path, encoding: .utf8)
    let all = original.replacingOccurrences(
      of: #""start":1,"stop":0"#, with: #""start":9223372036854775807,"stop":9223372036854775807"#)
    #expect(all != original)
    try directory.write(all.utf8, to: "tokenizer.json")
    let tokenizer = try HuggingFaceTokenizer(path: directory.path)
    #expect(tokenizer.decode(tokenizer.encode("  ab  ", addSpecial: false)) == "ab")
  }

  @Test func specialIDsAreFound() throws {
    let expected: [(String, Int32, Int32)] = [
      ("byte-level", 0, 0), ("byte-level-nfc", 0, 0), ("sentencepiece", 1, 2), ("metaspace", 1, 2),
    ]
    for (name, beginning, end) in expected {
      let tokenizer = try loadTokenizer(Fixtures.tokenizers + "/" + name)
      #expect(tokenizer.beginningOfText == beginning && tokenizer.endOfText == end)
    }
    #expect(
      try loadTokenizer(Fixtures.tokenizers + "/byte-level").identity
        != loadTokenizer(Fixtures.tokenizers + "/metaspace").identity)
  }

  @Test func bytesAreTheirOwnIDs() throws {
    let tokenizer = try loadTokenizer("byte")
    #expect(tokenizer.encode("a\u{E9}", addSpecial: true) == [97, 0xC3, 0xA9])
    #expect(tokenizer.decode([97, 256, 0xC3, 0xA9]) == "a\u{E9}")
    #expect(tokenizer.vocabularySize == 257 && tokenizer.endOfText == 256)
  }

  @Test func aFileIsNamedByItsDirectory() throws {
    let directory = Fixtures.tokenizers + "/metaspace"
    let (one, other) = (
      try loadTokenizer(directory), try loadTokenizer(directory + "/tokenizer.json")
    )
    #expect(one.name == "metaspace" && other.name == "metaspace")
    #expect(one.contentHash == other.contentHash && one.contentHash.count == 16)
    #expect(one.identity == "tokenizer.json-" + one.contentHash)
    #expect(other.beginningOfText == 1 && other.endOfText == 2)
    #expect(try loadTokenizer("byte").name == "byte" && loadTokenizer("byte").identity == "byte")
  }

  /// Four threads with a copy each make the ids that the original makes.
  @Test(arguments: ["byte", "byte-level-nfc", "metaspace"])
  func copiesEncodeOnThreadsOfTheirOwn(_ name: String) throws {
    let path = name == "byte" ? name : Fixtures.tokenizers + "/" + name
    let original = try loadTokenizer(path)
    let texts = try Fixtures.texts()
    let expected = texts.map { original.encode($0, addSpecial: true) }
    nonisolated(unsafe) let copies = (0..<4).map { _ in original.copyForThread() }
    nonisolated(unsafe) var differences = [Int](repeating: -1, count: 4)
    differences.withUnsafeMutableBufferPointer { buffer in
      nonisolated(unsafe) let buffer = buffer
      DispatchQueue.concurrentPerform(iterations: 4) { i in
        buffer[i] = zip(texts, expected).count { copies[i].encode($0, addSpecial: true) != $1 }
      }
    }
    #expect(differences == [0, 0, 0, 0])
    #expect(copies[0].name == original.name && copies[0].contentHash == original.contentHash)
  }

  @Test func aMissingDirectoryIsAnIOError() {
    #expect(throws: TokenDataError.self) { try loadTokenizer("/nowhere") }
  }

  /// Long prompts made by repeating tokens equal the tokens of the whole text.
  @Test(arguments: ["byte-level", "byte-level-nfc", "sentencepiece", "metaspace"])
  func longPromptsAreExact(_ name: String) throws {
    let tokenizer = try loadTokenizer(Fixtures.tokenizers + "/" + name)
    for task in ["passkey", "niah_single_1", "niah_multikey_2"] {
      let items = try RecallTaskConfiguration(name: task, options: [:]).makeGenerationTask(
        sequenceLength: 4000, seed: 2, tokenizer: tokenizer)
      for index in 0..<5 {
        let item = try items.item(index, of: 5)
        #expect(item.promptTokens == tokenizer.encode(item.prompt, addSpecial: true))
        #expect(item.promptTokens.count + item.maximumNewTokens <= 4000)
        #expect(item.promptTokens.count + item.maximumNewTokens > 3800)
      }
    }
  }
}
