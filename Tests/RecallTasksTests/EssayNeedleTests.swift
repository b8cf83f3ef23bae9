import Fields
import Foundation
import RecallTasks
import Testing
import TokenData

/// A file of the user's own text, which disappears with its owner.
final class TextFile {
  let path = FileManager.default.temporaryDirectory.path + "/haystack-" + UUID().uuidString + ".txt"

  init(_ bytes: [UInt8]) throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }

  convenience init(_ text: String) throws { try self.init(Array(text.utf8)) }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A prompt of a needle task, taken apart.
struct NeedlePromptParts {
  /// A needle and where it stands among the pieces of the context.
  struct Needle: Equatable {
    var key: String
    var value: String
  }

  let head: String
  let context: String
  let question: String
  let needles: [Needle]
  /// The context between the needles: one piece more than there are needles.
  let between: [String]

  init(_ prompt: String) throws {
    let lines = prompt.components(separatedBy: "\n")
    try #require(lines.count == 3, "\(prompt)")
    (head, context, question) = (lines[0], lines[1], lines[2])
    let pieces = context.components(separatedBy: "One of the special magic ")
    var needles: [Needle] = []
    var between = [pieces[0]]
    for piece in pieces.dropFirst() {
      let words = try #require(piece.range(of: "s for "))
      let says = try #require(piece.range(of: " is: "))
      let end = try #require(piece.range(of: ".", range: says.upperBound..<piece.endIndex))
      needles.append(
        Needle(
          key: String(piece[words.upperBound..<says.lowerBound]),
          value: String(piece[says.upperBound..<end.lowerBound])))
      between.append(String(piece[end.upperBound...]))
    }
    self.needles = needles
    self.between = between
  }

  /// The keys that the question asks for.
  var asked: [String] {
    let query = question.components(separatedBy: " for ")[1].components(separatedBy: " mentioned")[
      0]
    return query.replacingOccurrences(of: ", and ", with: ", ").components(separatedBy: ", ")
  }

  /// The text without needles, word by word.
  var words: [Substring] { between.joined(separator: " ").split(separator: " ") }
}

@Suite struct EssayNeedleTests {
  private static let depths = [
    0, 3, 5, 8, 10, 13, 15, 18, 21, 23, 26, 28, 31, 33, 36, 38, 41, 44, 46, 49, 51, 54, 56, 59, 62,
    64, 67, 69, 72, 74, 77, 79, 82, 85, 87, 90, 92, 95, 97, 100,
  ]

  private static let hostile = """
    First sentence.  Second\tone! "Quoted," he said.\u{A0}And no\u{85}boundary.here? lower case.
    \u{C9}t\u{E9} begins one.\r\n\u{201C}So does this.\u{201D} After a closing quote it goes on. 7 is no
    letter. 'Tis one... Ellipsis too?! Yes. v1.5 is not; A is (not. Either) end. \u{AB}Guillemet.
    """

  private func questions(
    _ name: String, _ options: FieldValue = [:], length: Int = 3001
  ) throws -> TextTask {
    try RecallTaskConfiguration(name: name, options: options).makeGenerationTask(
      sequenceLength: length, seed: 2, tokenizer: ByteTokenizer())
  }

  /// Sentences by the documented rule.
  private static func sentences(_ words: [Substring]) -> [String] {
    var sentences: [[Substring]] = []
    for (index, word) in words.enumerated() {
      let startsOne =
        index == 0
        || (".!?".contains(words[index - 1].last ?? " ")
          && ((word.first?.isUppercase ?? false)
            || "\"'\u{2018}\u{201C}\u{AB}".contains(word.first ?? " ")))
      if startsOne { sentences.append([word]) } else { sentences[sentences.count - 1].append(word) }
    }
    return sentences.map { $0.joined(separator: " ") }
  }

  /// The context is what RULER's rule makes of its needles and the depth, byte for byte.
  @Test(arguments: ["niah_single_2", "niah_single_3"], [true, false])
  func theNeedleStandsBeforeTheSentenceOfItsDepth(_ name: String, _ ownText: Bool) throws {
    let file = try TextFile(Self.hostile)
    let task = try questions(name, ownText ? ["haystack": .text(file.path)] : [:])
    var seen: Set<Int> = []
    for index in 0..<300 {
      let item = try task.item(index, of: 300)
      let parts = try NeedlePromptParts(item.prompt)
      let depth = try #require(item.depth)
      seen.insert(Int((depth * 100).rounded()))
      let sentences = Self.sentences(parts.words)
      let position = Int(Double(sentences.count) * depth)
      let needle = try #require(parts.needles.first)
      let noun = name == "niah_single_3" ? "uuids" : "numbers"
      let expected = [
        sentences[..<position].joined(separator: " "),
        "One of the special magic \(noun) for \(needle.key) is: \(needle.value).",
        sentences[position...].joined(separator: " "),
      ].joined(separator: " ")
      #expect(parts.context == expected)
      #expect(parts.needles.count == 1 && parts.asked == [needle.key])
      #expect(item.answers == [needle.value])
      #expect(item.prompt.components(separatedBy: needle.value).count == 2, "said once")
    }
    #expect(seen == Set(Self.depths))
  }

  @Test func aShortTextIsRepeatedFromItsBeginning() throws {
    let file = try TextFile("  Alpha beta. Gamma\n\ndelta! ")
    let parts = try NeedlePromptParts(
      questions("niah_single_2", ["haystack": .text(file.path)], length: 900).item(0, of: 1).prompt)
    let text = ["Alpha", "beta.", "Gamma", "delta!"]
    #expect(parts.words.count > 40)
    #expect(parts.words.enumerated().allSatisfy { text[$0 % 4] == $1 })
    #expect(questionsSource(file)?.words == 4)
    #expect(questionsSource(file)?.file == file.path)
  }

  private func questionsSource(_ file: TextFile) -> HaystackSource? {
    try? questions("niah_single_2", ["haystack": .text(file.path)]).haystack
  }

  @Test func evaluationHasTheFirstWordsAndTrainingAnySentence() throws {
    let task = try questions("niah_multikey_1")
    let first = try (0..<3).map { try NeedlePromptParts(task.item($0, of: 3).prompt).words }
    #expect(first.allSatisfy { $0.prefix(200) == first[0].prefix(200) })
    let rows = try source("niah_multikey_1", length: 3001, tokenizer: ByteTokenizer())
    let texts = try (0..<8 as Range<UInt64>).map { index in
      let row = ByteTokenizer().decode(try SampleArrays(rows, index).inputs)
      let context = row.components(separatedBy: "\n")[1]
      #expect(context.first?.isUppercase == true || context.first == "\"", "\(context)")
      return context.prefix(60)
    }
    #expect(Set(texts).count == 8)
  }

  @Test func severalKeysAreDifferentAndOneIsAskedFor() throws {
    let task = try questions("niah_multikey_1")
    var places = [Int](repeating: 0, count: 4)
    for index in 0..<200 {
      let item = try task.item(index, of: 200)
      let parts = try NeedlePromptParts(item.prompt)
      #expect(
        Set(parts.needles.map(\.key)).count == 4 && Set(parts.needles.map(\.value)).count == 4)
      let place = try #require(parts.needles.firstIndex { $0.key == parts.asked[0] })
      #expect(item.answers == [parts.needles[place].value])
      #expect(parts.head.hasPrefix("A special magic number is hidden"))
      places[place] += 1
    }
    // Each of four places 50 times of 200, with a standard deviation of 6.
    #expect(places.allSatisfy { abs($0 - 50) < 25 }, "\(places)")
  }

  @Test func aKeyWithFourValuesIsAskedForAllOfThem() throws {
    let task = try questions("niah_multivalue")
    for index in 0..<20 {
      let item = try task.item(index, of: 20)
      let parts = try NeedlePromptParts(item.prompt)
      let key = parts.asked[0]
      #expect(parts.asked.count == 1 && parts.needles.map(\.key) == [key, key, key, key])
      #expect(item.answers == parts.needles.map(\.value) && Set(item.answers).count == 4)
      #expect(item.depth == nil)
      #expect(
        parts.head
          == "Some special magic numbers are hidden within the following text. Make sure to"
          + " memorize it. I will quiz you about the numbers afterwards.")
      #expect(
        parts.question
          == "What are all the special magic numbers for \(key) mentioned in the provided"
          + " text? The special magic numbers for \(key) mentioned in the provided text are")
    }
  }

  @Test func fourKeysAreAskedForInAnyOrder() throws {
    let task = try questions("niah_multiquery")
    var inOrder = 0
    for index in 0..<60 {
      let item = try task.item(index, of: 60)
      let parts = try NeedlePromptParts(item.prompt)
      #expect(Set(parts.asked).count == 4 && Set(parts.asked) == Set(parts.needles.map(\.key)))
      let values = parts.asked.map { key in parts.needles.first { $0.key == key }?.value }
      #expect(item.answers == values.compactMap { $0 } && item.answers.count == 4)
      #expect(parts.question.contains(", and \(parts.asked[3]) mentioned"))
      inOrder += parts.asked == parts.needles.map(\.key) ? 1 : 0
    }
    #expect(inOrder < 15)
  }

  @Test(arguments: ["niah_multivalue", "niah_multiquery"], [1, 2])
  func rowsTellAllValues(_ name: String, _ count: Int) throws {
    let tokenizer = ByteTokenizer()
    let rows = try source(
      name, ["questions": .integer(count)], length: 4001, tokenizer: tokenizer)
    for index in 0..<12 as Range<UInt64> {
      let sample = try SampleArrays(rows, index)
      let row = tokenizer.decode(sample.inputs)
      let lines = row.components(separatedBy: "\n")
      let context = try NeedlePromptParts(lines[0] + "\n" + lines[1] + "\n" + lines[2])
      #expect(context.needles.count == 4 * count)
      var expected = ""
      for line in lines[2...] {
        let asked = try NeedlePromptParts("\n\n" + line).asked
        let values = asked.flatMap { key in
          context.needles.filter { $0.key == key }.map(\.value)
        }
        let reply =
          " \(values[0]), \(values[1]), \(values[2]), and \(values[3])"
        #expect(line.trimmingCharacters(in: ["\0"]).hasSuffix(reply))
        expected += reply
      }
      #expect(lines.count == 2 + count)
      #expect(tokenizer.decode(sample.counted.map { sample.targets[$0] }) == expected)
    }
  }

  @Test(arguments: [(1, 8), (2, 5), (3, 39)])
  func nearKeysDifferInThatManyLetters(_ distance: Int, _ near: Int) throws {
    let task = try questions(
      "niah_near_miss", ["distance": .integer(distance), "near": .integer(near)], length: 6001)
    for index in 0..<40 {
      let item = try task.item(index, of: 40)
      let parts = try NeedlePromptParts(item.prompt)
      let (keys, asked) = (parts.needles.map(\.key), Array(parts.asked[0]))
      #expect(keys.count == near + 1 && Set(keys).count == near + 1)
      #expect(Set(parts.needles.map(\.value)).count == near + 1)
      for key in keys where key != parts.asked[0] {
        #expect(key.count == asked.count && key.contains("-"))
        #expect(zip(key, asked).count { $0 != $1 } == distance, "\(key) and \(parts.asked[0])")
      }
      #expect(item.answers == [parts.needles.first { $0.key == parts.asked[0] }?.value ?? ""])
    }
  }

  @Test func textThatCannotBeUsedIsRefused() throws {
    for (bytes, reason) in [
      ([0x41, 0xFF], "is not UTF-8"), ([], "has no word"), ([0x20, 0x0A], "has no word"),
    ] as [([UInt8], String)] {
      let file = try TextFile(bytes)
      let error = #expect(throws: RecallTaskError.self) {
        try questions("niah_single_2", ["haystack": .text(file.path)])
      }
      #expect(error?.exitCode == 65)
      #expect(error?.description.hasPrefix(file.path + ": text: " + reason) == true)
    }
    let missing = #expect(throws: RecallTaskError.self) {
      try questions("niah_single_2", ["haystack": "/nowhere/a.txt"])
    }
    #expect(missing?.exitCode == 74)
  }

  /// Another text gives other samples even where its first words are the same.
  @Test func samplesAreKeyedByTheText() throws {
    let (a, b) = (try TextFile("One two. Three."), try TextFile("One two. Three. Four."))
    let items = try [a, b, a].map {
      try questions("niah_single_2", ["haystack": .text($0.path)]).item(0, of: 1)
    }
    #expect(items[0].answers != items[1].answers && items[0].prompt == items[2].prompt)
  }

  /// The generated text says nothing that looks like an answer, and is always the same.
  @Test func theGeneratedTextIsFixed() throws {
    let task = try questions("niah_single_2", length: 300_000)
    let source = try #require(task.haystack)
    #expect(source.file == nil)
    #expect("\(source)" == "haystack 607dbd6cfc4975c3 of 200011 words")
    let text = try NeedlePromptParts(task.item(0, of: 1).prompt).between.joined(separator: " ")
    #expect(text.utf8.count > 290_000 && !text.contains { $0.isNumber || $0 == "-" })
    #expect(Set(Self.sentences(text.split(separator: " "))).count > 4000)
  }
}
