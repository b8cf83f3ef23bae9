import ErrorReporting
import Testing

@Suite struct SingleLineTests {
  @Test func whatCannotBeShownIsSpeltOut() {
    #expect(
      singleLine("a\u{0}b\u{1B}[2J\u{7F}\tc\u{202E}") == "a\\u{0}b\\u{1b}[2J\\u{7f}\\u{9}c\\u{202e}"
    )
    #expect(singleLine("  one \r\n\n  two\u{2028}three  ") == "one two three")
    #expect(singleLine("h\u{E9}\u{1F600}") == "h\u{E9}\u{1F600}")
  }

  @Test func ofALongTextTheMiddleIsLeftOut() {
    let line = singleLine("begin" + String(repeating: "x", count: 1 << 20) + "end", limit: 100)
    #expect(line.hasPrefix("beginxx") && line.hasSuffix("xxend") && line.contains("x ... x"))
    #expect(line.utf8.count == 105)
  }
}
