import Testing
import TokenData

@Suite struct PatternTests {
  /// The matches of a pattern, as text.
  private func matches(
    _ pattern: String, in text: String, alphabet: Pattern.Alphabet = .text
  ) throws -> [String] {
    let pattern = try Pattern(pattern, alphabet: alphabet)
    return pieces(of: text, TextSplitter(pattern, .removed, isInverted: true))
  }

  private func pieces(of text: String, _ splitter: TextSplitter) -> [String] {
    Array(text.utf8).withUnsafeBufferPointer { bytes in
      var result: [String] = []
      splitter.split(bytes) { result.append(String(decoding: bytes[$0], as: UTF8.self)) }
      return result
    }
  }

  static let cases: [(pattern: String, text: String, matches: [String])] = [
    ("a|ab", "ab", ["a"]),
    ("ab|a", "abaa", ["ab", "a", "a"]),
    ("a+ab", "aaab b ab", ["aaab"]),
    ("a++ab", "aaab", []),
    ("a{2,3}", "aaaaa a", ["aaa", "aa"]),
    ("a{2,}b", "aabab", ["aab"]),
    ("x(?:ab)?a", "xaba xaa", ["xaba", "xa"]),
    ("x(?:ab)?+a", "xaba xab xa", ["xaba", "xa"]),
    ("[^\\r\\n\\p{L}]?\\p{L}+", " one,two\n\u{E9}t\u{E9}", [" one", ",two", "\u{E9}t\u{E9}"]),
    ("\\s+(?!\\S)|\\s+", "a   b c  ", ["  ", " ", " ", "  "]),
    ("\\s*[\\r\\n]+", "  \n\n  x \r\n", ["  \n\n", " \r\n"]),
    ("(?i:'s|'re)", "'S'\u{17F}'rE'x", ["'S", "'\u{17F}", "'rE"]),
    ("(?i:k)|K", "kK\u{212A}", ["k", "K", "\u{212A}"]),
    ("[a-c-]+", "ab-d", ["ab-"]),
    ("[^[ab]c]", "abcd", ["d"]),
    ("[]a]+", "a]b", ["a]"]),
    ("[\\u4e00-\\x{9fa5}]+", "x\u{4E2D}\u{6587}\u{9FA6}", ["\u{4E2D}\u{6587}"]),
    ("\\P{N}|\\p{^L}", "a1", ["a", "1"]),
    (".", "a\n\u{1F600}", ["a", "\u{1F600}"]),
    ("(?=b)[a-z]", "abc", ["b"]),
    ("\\.\\[\\$", ".[$", [".[$"]),
  ]

  @Test(arguments: cases.indices)
  func matchesAsThePatternSays(_ i: Int) throws {
    let (pattern, text, expected) = Self.cases[i]
    #expect(try matches(pattern, in: text) == expected, "\(pattern)")
  }

  @Test(arguments: [
    "^a", "a$", "a+?", "(ab)+", "(?<=a)b", "a**", "[[:alpha:]]", "\\b", "\\1", "(?=ab)c", "(a",
    "a)",
    "[a", "a{3,2}", "[a&&b]", "(?i:\u{E9})", "(?i:st)", "\\p{Greek}", "a*", "a?|b", "", "(?>a)",
    "\\", String(repeating: "(", count: 65) + "a" + String(repeating: ")", count: 65),
    String(repeating: "[", count: 100_000), String(repeating: "(?:", count: 100_000),
  ])
  func whatIsNotKnownIsRefused(_ pattern: String) {
    #expect(throws: PatternParser.Failure.self) { try Pattern(pattern) }
  }

  @Test func groupsMayBeDeep() throws {
    let pattern = String(repeating: "(", count: 64) + "a" + String(repeating: ")", count: 64)
    #expect(try matches(pattern, in: "ba") == ["a"])
  }

  /// In byte-level vocabularies the bytes B2, B3, B9 and BC to BE are spelt as numbers.
  @Test func bytesAreReadAsTheyAreSpelt() throws {
    #expect(try matches("\\p{N}+", in: "1\u{F2}2", alphabet: .bytes).count == 2)
    #expect(try matches("\\p{N}+", in: "1\u{F2}2") == ["1", "2"])
    #expect(try matches("\u{120}", in: "a b", alphabet: .bytes) == [" "])
  }

  @Test func setsAreSortedRanges() {
    let set = ScalarSet([5...9, 0...3, 4...4, 20...20])
    #expect(set.ranges == [0...9, 20...20])
    #expect(set.inverted.ranges == [10...19, 21...0x10FFFF])
    #expect(set.inverted.inverted == set)
    #expect(set.contains(9) && !set.contains(10) && set.contains(20) && !set.contains(21))
    #expect(ScalarSet.empty.inverted.inverted == .empty)
  }

  @Test func categoriesCoverEveryScalarOnce() throws {
    let names = """
      Cc Cf Cn Co Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs
      """.split(separator: " ").map(String.init)
    let sets = try names.map { try #require(ScalarSet(category: $0)) }
    let total = sets.flatMap(\.ranges).reduce(0) { $0 + $1.count }
    #expect(total == 0x110000 && ScalarSet(sets.flatMap(\.ranges)).ranges == [0...0x10FFFF])
    #expect(ScalarSet(category: "Greek") == nil && ScalarSet(category: "") == nil)
  }

  static let behaviors: [(TextSplitter.Behavior, Bool, [String])] = [
    (.removed, false, ["a", "b"]),
    (.removed, true, ["-", "-", "-"]),
    (.isolated, false, ["-", "a", "-", "-", "b"]),
    (.contiguous, false, ["-", "a", "--", "b"]),
    (.mergedWithPrevious, false, ["-", "a-", "-", "b"]),
    (.mergedWithPrevious, true, ["-a", "-", "-b"]),
    (.mergedWithNext, false, ["-a", "-", "-b"]),
    (.mergedWithNext, true, ["-", "a-", "-", "b"]),
  ]

  @Test(arguments: behaviors.indices)
  func splittersTreatMatchesAsTold(_ i: Int) throws {
    let (behavior, isInverted, expected) = Self.behaviors[i]
    let splitter = TextSplitter(try Pattern("-"), behavior, isInverted: isInverted)
    #expect(pieces(of: "-a--b", splitter) == expected)
  }
}
