import Evaluation
import Foundation
import Testing
import TokenData

@Suite("Text as it is generated")
struct TextStreamTests {
  /// The pieces that come after each id, and at the end.
  private func pieces(
    _ ids: [Int32], _ tokenizer: any Tokenizer, stops: [String] = []
  ) -> (pieces: [String], isStopped: Bool) {
    var stream = TextStream(tokenizer, stops: stops)
    var pieces = ids.map { stream.append($0) }
    pieces.append(stream.finish())
    return (pieces, stream.isStopped)
  }

  @Test("every piece is whole characters")
  func characters() {
    let ids = ByteTokenizer().encode("a\u{E9}\u{1F600}b", addSpecial: false)
    #expect(
      pieces(ids, ByteTokenizer()).pieces
        == ["a", "", "\u{E9}", "", "", "", "\u{1F600}", "b", ""])
    // Cut inside of a character, and bytes that are none.
    #expect(pieces(Array(ids.dropLast(2)), ByteTokenizer()).pieces.joined() == "a\u{E9}\u{FFFD}")
    #expect(pieces([0x61, 0xFF, 0x62], ByteTokenizer()).pieces == ["a", "", "\u{FFFD}b", ""])
  }

  @Test("what may begin a stop text waits, and goes on if it does not")
  func stops() {
    /// The pieces, and a mark where a stop text came.
    func split(_ text: String, _ stops: String...) -> [String] {
      let ids = ByteTokenizer().encode(text, addSpecial: false)
      let found = pieces(ids, ByteTokenizer(), stops: stops)
      return found.pieces.filter { !$0.isEmpty } + (found.isStopped ? ["STOP"] : [])
    }
    #expect(split("ab--c", "-->") == ["a", "b", "--c"])
    #expect(split("ab-->c", "-->") == ["a", "b", "STOP"])
    #expect(split("ab--", "-->") == ["a", "b", "--"])
    #expect(split("aaab", "aab", "b") == ["a", "STOP"], "the first of several")
    #expect(split("a\r\nb", "\n") == ["a", "\r", "STOP"], "a line feed after a carriage return")
    #expect(split("\u{E9}x", "x") == ["\u{E9}", "STOP"])
    #expect(split("e\u{301}", "e") == ["STOP"], "bytes, not characters")
  }

  @Test(
    "pieces are together what decoding at once gives",
    arguments: ["byte-level", "byte-level-nfc", "metaspace", "sentencepiece"])
  func tokenizers(name: String) throws {
    let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Fixtures/tokenizers")
    let directory = fixtures.appendingPathComponent(name).path
    let tokenizer = try loadTokenizer(directory)
    let texts = [
      " The key is 12345.\nNext line,  two spaces",
      "\u{E9}t\u{E9} \u{1F600}\u{1F1E9}\u{1F1EA} \u{4E2D}\u{6587}", "x",
    ]
    for text in texts {
      let ids = tokenizer.encode(text, addSpecial: false)
      #expect(pieces(ids, tokenizer).pieces.joined() == tokenizer.decode(ids))
      // Ids in any order: bytes of characters in the wrong places.
      let mixed = ids.reversed() + ids
      #expect(pieces(mixed, tokenizer).pieces.joined() == tokenizer.decode(mixed))
    }
  }
}
