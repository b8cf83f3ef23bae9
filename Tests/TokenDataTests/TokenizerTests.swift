import Foundation
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
    let tokenizer = try HuggingFaceTokenizer(directory: directory)
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
