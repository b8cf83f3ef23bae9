import Foundation
import RecallTasks
import Testing
import TokenData

/// A text and what the `tokenizers` library makes of it.
struct TokenizerCase: Decodable {
  let text: String
  let ids: [Int32]
  let plain: [Int32]
  let decoded: String
}

enum Fixtures {
  static let tokenizers = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/tokenizers").path

  static func cases(_ path: String) throws -> [TokenizerCase] {
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    return try JSONDecoder().decode([TokenizerCase].self, from: data)
  }
}

@Suite struct TokenizerTests {
  @Test(arguments: ["byte-level", "byte-level-nfc", "sentencepiece", "metaspace"])
  func agreesWithTheReferenceLibrary(_ name: String) throws {
    let directory = Fixtures.tokenizers + "/" + name
    try expectAgreement(directory: directory, cases: directory + "/cases.json")
  }

  /// Jamo, marks that decompose, marks that the library does not know, and 400 random mixtures.
  @Test func normalisesAsTheReferenceLibrary() throws {
    let directory = Fixtures.tokenizers + "/byte-level-nfc"
    try expectAgreement(directory: directory, cases: directory + "/form-c.json")
  }

  /// For tokenizers too large to commit: `STATEX_TOKENIZER_CASES=DIR:CASES`, the cases made by
  /// `make_tokenizer_fixtures.py --tokenizer DIR CASES`.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["STATEX_TOKENIZER_CASES"] != nil))
  func agreesOnAnotherTokenizer() throws {
    let value = try #require(ProcessInfo.processInfo.environment["STATEX_TOKENIZER_CASES"])
    let parts = value.split(separator: ":").map(String.init)
    try #require(parts.count == 2)
    try expectAgreement(directory: parts[0], cases: parts[1])
  }

  private func expectAgreement(directory: String, cases path: String) throws {
    let tokenizer = try HuggingFaceTokenizer(path: directory)
    let cases = try Fixtures.cases(path)
    #expect(cases.count > 100)
    // Twice: the second pass finds its pieces in the cache.
    for sample in cases + cases {
      #expect(tokenizer.encode(sample.text, addSpecial: true) == sample.ids, "\(sample.text)")
      #expect(tokenizer.encode(sample.text, addSpecial: false) == sample.plain, "\(sample.text)")
      let decoded = tokenizer.decode(sample.ids)
      #expect(
        Array(decoded.unicodeScalars) == Array(sample.decoded.unicodeScalars), "\(sample.text)")
    }
  }
}

@Suite struct TokenizerFileTests {
  static let changes: [(file: String, from: String, to: String, message: String)] = [
    ("byte-level", #""type":"BPE""#, #""type":"Unigram""#, "model Unigram is not supported"),
    ("byte-level", #""dropout":null"#, #""dropout":0.1"#, "model.dropout is not supported"),
    (
      "byte-level", #""ignore_merges":false"#, #""ignore_merges":true"#,
      "model.ignore_merges true is not supported"
    ),
    (
      "byte-level", #""use_regex":true},"post"#, #""use_regex":false},"post"#,
      "ByteLevel with use_regex false is not supported"
    ),
    ("byte-level-nfc", #"{"type":"NFC"}"#, #"{"type":"NFKC"}"#, "normalizer NFKC is not supported"),
    ("byte-level", #""lstrip":false"#, #""lstrip":true"#, "added_tokens[0] with lstrip true"),
    ("metaspace", #""type":"Metaspace""#, #""type":"Whitespace""#, "pre_tokenizer Whitespace"),
    ("metaspace", #""scheme":"first""#, #""scheme":"odd""#, "prepend_scheme odd"),
    ("sentencepiece", #""byte_fallback":true"#, #""byte_fallback":false"#, "byte_fallback false"),
    ("sentencepiece", #""<0x7F>""#, #""<0x7f>""#, "model.vocab: has no byte token <0x7F>"),
    ("sentencepiece", #""type":"Fuse""#, #""type":"CTC""#, "decoder CTC is not supported"),
    ("sentencepiece", #""type":"TemplateProcessing""#, #""type":"Bert""#, "post_processor Bert"),
    (
      "sentencepiece", #""ids":[1]"#, #""ids":[1.5]"#,
      "special_tokens.<s>.ids: expected token ids, found 1.5"
    ),
    ("sentencepiece", #""ids":[1]"#, #""ids":[1,"2"]"#, "<s>.ids: expected token ids, found \"2\""),
    ("sentencepiece", #""ids":[1]"#, #""ids":[-1]"#, "<s>.ids: expected token ids, found -1"),
    ("sentencepiece", "{", "[", "line 1, column 1"),
  ]

  @Test(arguments: changes.indices)
  func unknownComponentsAreRefusedByName(_ i: Int) throws {
    let change = Self.changes[i]
    let directory = try TemporaryDirectory()
    let path = Fixtures.tokenizers + "/" + change.file + "/tokenizer.json"
    let original = try String(contentsOfFile: path, encoding: .utf8)
    let from = change.from.replacingOccurrences(of: #""scheme"#, with: #""prepend_scheme"#)
    let to = change.to.replacingOccurrences(of: #""scheme"#, with: #""prepend_scheme"#)
    let range = try #require(original.range(of: from), "the fixture has no \(from)")
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
    let texts = try Fixtures.cases(Fixtures.tokenizers + "/metaspace/cases.json").map(\.text)
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
