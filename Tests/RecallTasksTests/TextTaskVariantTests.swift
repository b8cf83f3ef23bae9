import Fields
import Foundation
import RecallTasks
import Testing
import TokenData

@Suite struct PhonebookTests {
  private func questions(_ entries: FieldValue, length: Int = 1999) throws -> TextTask {
    try RecallTaskConfiguration(name: "phonebook", options: ["entries": entries])
      .makeGenerationTask(sequenceLength: length, seed: 3, tokenizer: ByteTokenizer())
  }

  private func book(_ prompt: String) -> [String] {
    prompt.components(separatedBy: "\n\n")[0].components(separatedBy: "\n")
  }

  @Test func aFilledBookHasAsManyEntriesAsFit() throws {
    let task = try questions("fill")
    for index in 0..<20 {
      let item = try task.item(index, of: 20)
      let used = item.promptTokens.count + item.maximumNewTokens
      // The longest line: a name of 8 + 3 + 9 letters.
      #expect(used <= 1999 && used + 34 > 1999)
      let book = book(item.prompt)
      let names = book.map { $0.components(separatedBy: ": ")[0] }
      #expect(Set(names).count == names.count && names.count > 50)
      let asked = try #require(item.prompt.components(separatedBy: "\n").last?.dropLast())
      let place = try #require(names.firstIndex(of: String(asked)))
      #expect(book[place] == "\(asked): \(item.answers[0])")
      #expect(place == Int((Double(index) + 0.5) / 20 * Double(names.count)))
      let examples = item.prompt.components(separatedBy: "\n\n")[1].components(separatedBy: "\n")
      #expect(Set(examples).count == 2 && examples.allSatisfy(book.contains))
      #expect(!examples.contains(book[place]))
    }
  }

  @Test func rowsOfFilledBooksAskEveryQuestion() throws {
    let tokenizer = ByteTokenizer()
    for length in [361, 420, 1499] {
      let rows = try source(
        "phonebook", ["entries": "fill", "questions": 4], length: length, tokenizer: tokenizer)
      for index in 0..<10 as Range<UInt64> {
        let sample = try SampleArrays(rows, index)
        #expect(sample.counted.count == 44, "four numbers of ten digits, each after a space")
        #expect((sample.counted.last ?? 0) > length - 36, "one more entry would not have fitted")
      }
    }
  }

  @Test func oneOfSeveralSizesIsDrawn() throws {
    let task = try questions([5, 12])
    var counts: [Int: Int] = [:]
    for index in 0..<100 {
      counts[book(try task.item(index, of: 100).prompt).count, default: 0] += 1
    }
    #expect(Set(counts.keys) == [5, 12])
    #expect(counts.values.allSatisfy { $0 > 25 }, "\(counts)")
  }

  @Test func everySizeHasToFit() {
    #expect(throws: RecallTaskError.self) { try questions([5, 90]) }
  }
}

@Suite struct TextCopyingTests {
  @Test(arguments: ["text", "random"])
  func theTextStandsTwiceAndItsRestIsAskedFor(_ order: String) throws {
    let task = try RecallTaskConfiguration(
      name: "text_copying", options: ["order": .text(order)]
    ).makeGenerationTask(sequenceLength: 1201, seed: 3, tokenizer: ByteTokenizer())
    var texts: Set<String> = []
    for index in 0..<12 {
      let item = try task.item(index, of: 12)
      let parts = item.prompt.components(separatedBy: "\n\n")
      #expect(parts.count == 3 && parts[0] == parts[1])
      #expect(parts[0] == parts[2] + " " + item.answers[0] && !parts[2].contains(" "))
      #expect(item.maximumNewTokens == item.answers[0].utf8.count + 1 + 4)
      let used = item.promptTokens.count + item.maximumNewTokens
      #expect(used <= 1201 && used + 3 * 20 > 1201)
      texts.insert(parts[0])
    }
    #expect(texts.count == 12)
  }

  @Test func wordsOfATextAreNeighboursOrShuffled() throws {
    let words = (0..<50).map { "w\($0)" }
    let file = try TextFile(words.joined(separator: " "))
    for order in ["text", "random"] {
      let task = try RecallTaskConfiguration(
        name: "text_copying",
        options: ["haystack": .text(file.path), "words": 20, "order": .text(order)]
      ).makeGenerationTask(sequenceLength: 600, seed: 3, tokenizer: ByteTokenizer())
      let text = try task.item(0, of: 1).prompt.components(separatedBy: "\n\n")[0]
      let numbers = text.split(separator: " ").compactMap { Int($0.dropFirst()) }
      let steps = zip(numbers, numbers.dropFirst()).map { ($1 - $0 + 50) % 50 }
      #expect(Set(numbers).count == 20)
      #expect(steps.allSatisfy { $0 == 1 } == (order == "text"))
    }
  }
}

@Suite struct ClassificationTests {
  private func questions(_ options: FieldValue) throws -> TextTask {
    try RecallTaskConfiguration(name: "classification", options: options).makeGenerationTask(
      sequenceLength: 4000, seed: 3, tokenizer: ByteTokenizer())
  }

  /// The inputs and labels of a prompt, its question with the right answer last.
  private func examples(_ item: GenerationItem) -> [(words: [Substring], label: String)] {
    (item.prompt + " " + item.answers[0]).components(separatedBy: "\n\n").map { example in
      let lines = example.components(separatedBy: "\n")
      return (lines[0].split(separator: " ").dropFirst().map { $0 }, String(lines[1].dropFirst(7)))
    }
  }

  @Test(arguments: [0, 1, 16, 64], [2, 5])
  func promptsHaveThatManyDemonstrations(_ count: Int, _ classes: Int) throws {
    let task = try questions(
      ["demonstrations": .integer(count), "classes": .integer(classes), "words": 20])
    var right = 0
    for index in 0..<200 {
      let item = try task.item(index, of: 200)
      let examples = examples(item)
      #expect(examples.count == count + 1)
      #expect(
        examples.allSatisfy { $0.words.count == 3 && "ABCDE".prefix(classes).contains($0.label) })
      right += item.answers == ["A"] ? 1 : 0
    }
    // Guessing one label is right as often as chance says, within 4.5 standard deviations.
    let chance = 1 / Double(classes)
    #expect(abs(Double(right) / 200 - chance) < 4.5 * (chance * (1 - chance) / 200).squareRoot())
  }

  /// Perceptrons on counts of words find weights that are right for every example of a prompt.
  @Test func labelsAreALinearFunctionOfTheWords() throws {
    let task = try questions(["demonstrations": 64, "classes": 3])
    for index in 0..<10 {
      let examples = examples(try task.item(index, of: 10))
      var weights: [String: [Substring: Int]] = [:]
      func best(_ words: [Substring]) -> String? {
        ["A", "B", "C"].max { a, b in
          func score(_ label: String) -> Int {
            words.reduce(0) { $0 + (weights[label]?[$1] ?? 0) }
          }
          return score(a) < score(b)
        }
      }
      var mistakes = 1
      for _ in 0..<2000 where mistakes > 0 {
        mistakes = 0
        for (words, label) in examples {
          guard let found = best(words), found != label else { continue }
          mistakes += 1
          for word in words {
            weights[label, default: [:]][word, default: 0] += 1
            weights[found, default: [:]][word, default: 0] -= 1
          }
        }
      }
      #expect(mistakes == 0)
    }
  }

  /// Labels cannot be learned by heart: the same word has different labels in different prompts.
  @Test func wordsMeanSomethingElseInEveryPrompt() throws {
    let task = try questions(["demonstrations": 64, "length": 1, "words": 1000])
    var labels: [Substring: Set<String>] = [:]
    for index in 0..<200 {
      for (words, label) in examples(try task.item(index, of: 200)) {
        labels[words[0], default: []].insert(label)
      }
    }
    #expect(labels.values.count { $0.count == 2 } > labels.count / 3)
  }

  @Test func rowsAskSeveralQuestions() throws {
    let rows = try source(
      "classification", ["demonstrations": 2, "questions": 5], length: 400,
      tokenizer: ByteTokenizer())
    for index in 0..<10 as Range<UInt64> {
      let sample = try SampleArrays(rows, index)
      #expect(sample.counted.count == 10, "a space and a letter each")
      let text = ByteTokenizer().decode(sample.inputs.filter { $0 != 0 })
      let lines = text.components(separatedBy: "\n")
      #expect(lines.count { $0.hasPrefix("Label: ") && $0.count == 8 } == 7)
      #expect(text.components(separatedBy: "\n\n").count == 7)
    }
  }
}

@Suite struct FittingTests {
  private static let names = RecallTaskConfiguration.names.filter { name in
    (try? RecallTaskConfiguration(name: name))?.needsTokenizer ?? false
  }

  /// The shortest sequence that is accepted holds whatever sample is asked for.
  @Test(arguments: names, [1, 2])
  func whatIsAcceptedFits(_ name: String, _ questions: Int) throws {
    let asked: FieldValue =
      name == "text_copying" ? [:] : ["questions": .integer(questions)]
    func rows(_ length: Int) throws -> any SampleSource {
      try source(name, asked, length: length, tokenizer: ByteTokenizer())
    }
    var (low, high) = (1, 4000)
    while high - low > 1 {
      let middle = (low + high) / 2
      if (try? rows(middle)) == nil { low = middle } else { high = middle }
    }
    let error = #expect(throws: RecallTaskError.self) { try rows(low) }
    guard case .doesNotFit(name, let needed, low)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect((high...(high + 40)).contains(needed), "\(needed) of \(high): what is needed is named")
    #expect(error?.exitCode == 64)
    let accepted = try rows(high)
    for index in 0..<500 as Range<UInt64> { _ = try SampleArrays(accepted, index) }
  }

  @Test(arguments: names)
  func oddLengthsAreFilled(_ name: String) throws {
    for length in [2047, 2048, 2053, 3001] {
      let rows = try source(name, length: length, tokenizer: ByteTokenizer())
      let sample = try SampleArrays(rows, 5)
      let end = try #require(sample.counted.last)
      #expect(end < length && sample.inputs.dropFirst(end + 2).allSatisfy { $0 == 0 })
      if !["phonebook", "classification"].contains(name) { #expect(end + 130 > length) }
      let configuration = try RecallTaskConfiguration(name: name)
      let item = try configuration.makeGenerationTask(
        sequenceLength: length, seed: 0, tokenizer: ByteTokenizer()
      ).item(1, of: 3)
      #expect(item.promptTokens.count + item.maximumNewTokens <= length)
    }
  }
}
