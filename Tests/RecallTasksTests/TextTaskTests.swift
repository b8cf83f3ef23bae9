import Fields
import RecallTasks
import Testing

@Suite struct GoldenPromptTests {
  @Test func helperHashesCorrectly() {
    #expect(
      sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  @Test(arguments: [
    (1024, 0.5, "01234", 907, "7267a381230e4561badc4099809a91fadfbc6401460ae1a1383c93b336525fbb"),
    (
      1024, 0.0025, "99999", 907, "342685a3d3a0a1a024d577a01dad32defe1aecdc5e258aa13e9a465d3ff3236f"
    ),
    (
      1024, 0.9975, "00000", 907, "93a096b39d672725ca97b440f7a3161d4bdee17db296d06782e365ba14cbbd3d"
    ),
    (4096, 0.5, "12345", 4057, "2de081ff890980942be7eefc7953735bf43d62b28b3fb25301121f44a1b239cb"),
  ])
  func passkeyAgreesWithTheOriginal(
    _ golden: (length: Int, depth: Double, key: String, bytes: Int, hash: String)
  ) {
    let prompt = stuffedMambaPasskeyPrompt(
      sequenceLength: golden.length, key: golden.key, depth: golden.depth,
      tokenizer: TestTokenizer())
    #expect(prompt.utf8.count == golden.bytes)
    #expect(sha256(prompt) == golden.hash)
  }

  @Test func singleNeedleAgreesWithRULER() {
    let prompt = singleNeedlePrompt(key: "quick-fox", value: "1234567", lines: 3, position: 1)
    #expect(prompt.utf8.count == 612)
    #expect(sha256(prompt) == "903d9d337634102618296916cd6849faac13e2cfa8383fc0a9b1c822f81aad83")
  }

  @Test func phonebookAgreesWithTheOriginal() {
    let book = [
      ("Ann Lee", "6000000001"), ("Bob Ray", "7000000002"), ("Cy Poe", "8000000003"),
      ("Di Fox", "9000000004"),
    ].map { PhonebookEntry(name: $0, number: $1) }
    let prompt = phonebookPrompt(book: book, examples: [0, 2], asked: 3)
    #expect(prompt.utf8.count == 126)
    #expect(sha256(prompt) == "18c65cd7f9b65366567d9da88841e11c9b8f50bca1779d9dc084ffbf6b25f41a")
  }
}

@Suite struct TextTaskTests {
  /// Tasks whose questions have one answer, which the context says.
  static let names = [
    "passkey", "phonebook", "niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1",
    "niah_multikey_2", "niah_multikey_3", "niah_near_miss",
  ]

  private func task(
    _ name: String, length: Int, tokenizer: TestTokenizer, options: FieldValue = [:]
  ) throws -> TextTask {
    try RecallTaskConfiguration(name: name, options: options).makeGenerationTask(
      sequenceLength: length, seed: 1, tokenizer: tokenizer)
  }

  /// `chunk` 7 makes tokens that do not respect the pieces: the whole text has to be encoded.
  @Test(arguments: names, [1, 7])
  func itemsAreExactEncodingsThatFit(_ name: String, _ chunk: Int) throws {
    let tokenizer = TestTokenizer(beginning: 300, chunk: chunk)
    let length = 2500
    let task = try task(name, length: length, tokenizer: tokenizer)
    for index in 0..<6 {
      let item = try task.item(index, of: 6)
      #expect(item.promptTokens == tokenizer.encode(item.prompt, addSpecial: true))
      let answered = tokenizer.encode(item.prompt + " " + item.answers[0], addSpecial: true)
      #expect(item.answerTokens == Array(answered.dropFirst(item.promptTokens.count)))
      let used = item.promptTokens.count + item.maximumNewTokens
      #expect(used <= length)
      // One more block would not have fitted: a block has at most 114 bytes.
      if name != "phonebook" { #expect(used + 114 / chunk + 2 > length) }
      #expect(try task.item(index, of: 6).promptTokens == item.promptTokens)
      if name != "phonebook" {
        #expect(item.prompt.contains("is: \(item.answers[0]).") || name == "passkey")
      }
    }
  }

  @Test func passkeyNeedlesAreSpreadOverTheDepths() throws {
    let task = try task("passkey", length: 4096, tokenizer: TestTokenizer())
    for index in 0..<10 {
      let item = try task.item(index, of: 10)
      #expect(item.depth == (Double(index) + 0.5) / 10)
      let blocks = item.prompt.components(separatedBy: ".\n").dropFirst().dropLast()
      let needle = blocks.firstIndex { $0.contains("The passkey is \(item.answers[0])") }
      // The official rule truncates.
      #expect((needle ?? 0) - 1 == Int((Double(index) + 0.5) / 10 * Double(blocks.count - 1)))
    }
  }

  @Test(arguments: names)
  func trainingRowsCountTheAnswerOnly(_ name: String) throws {
    let tokenizer = TestTokenizer(beginning: 300)
    let task = try source(name, length: 1500, tokenizer: tokenizer)
    for index in 0..<10 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      let counted = sample.counted
      let first = try #require(counted.first)
      #expect(counted == Array(first..<(first + counted.count)))
      let answer = tokenizer.decode(counted.map { sample.targets[$0] })
      #expect(answer.hasPrefix(" "))
      let text = tokenizer.decode(Array(sample.inputs[1...first]))
      #expect(text.contains(answer.dropFirst()))
      #expect(
        Array(sample.inputs[(first + 1)..<(first + counted.count)])
          == counted.dropLast().map { sample.targets[$0] })
      #expect(sample.inputs[(first + counted.count + 1)...].allSatisfy { $0 == 0 })
      #expect(sample == (try SampleArrays(task, index)))
    }
  }

  @Test(arguments: names)
  func aRowMayAskSeveralQuestions(_ name: String) throws {
    let tokenizer = TestTokenizer(beginning: 300)
    let task = try source(name, ["questions": 3], length: 2500, tokenizer: tokenizer)
    for index in 0..<8 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      // Runs of targets that count: one an answer.
      let counted = sample.counted
      let starts = counted.filter { !counted.contains($0 - 1) }
      #expect(starts.count == 3)
      let row = tokenizer.decode(sample.inputs)
      var answers: Set<String> = []
      for start in starts {
        let end = counted.first { $0 >= start && !counted.contains($0 + 1) } ?? start
        let answer = tokenizer.decode(Array(sample.targets[start...end]))
        #expect(answer.hasPrefix(" "))
        answers.insert(String(answer.dropFirst()))
        // The context gives the answer to what is asked just before it.
        let text = tokenizer.decode(Array(sample.inputs[1...start]))
        let question = try #require(text.components(separatedBy: "\n").last)
        let asked = try #require(Self.statement(name, question, answer))
        #expect(row.contains(asked), "\(asked) in \(row)")
      }
      #expect(answers.count == 3)
      #expect(sample == (try SampleArrays(task, index)))
    }
  }

  /// What a context says when `answer` is right.
  private static func statement(_ name: String, _ question: String, _ answer: String) -> String? {
    func after(_ mark: String) -> String? { question.components(separatedBy: mark).last }
    switch name {
    case "passkey": return after("The passkey ").map { "The passkey \($0)\(answer). Remember" }
    case "phonebook": return question + answer + "\n"
    default:
      let key = after(" for ")?.components(separatedBy: " mentioned").first
      return key.map { " for \($0) is:\(answer)." }
    }
  }

  @Test(arguments: names)
  func questionsChangeNoEvaluation(_ name: String) throws {
    let tokenizer = TestTokenizer()
    let one = try task(name, length: 2500, tokenizer: tokenizer)
    let three = try task(
      name, length: 2500, tokenizer: tokenizer, options: ["questions": 3])
    for index in 0..<4 {
      let (item, other) = (try one.item(index, of: 4), try three.item(index, of: 4))
      #expect(item.promptTokens == other.promptTokens && item.answers == other.answers)
    }
  }

  @Test func questionsHaveALimit() {
    for (name, options) in [
      ("passkey", ["questions": 0]), ("niah_single_1", ["questions": 257]),
      ("phonebook", ["questions": 4, "entries": 5]),
      ("passkey", ["questions": 2, "fill": "stuffed-mamba"]),
    ] as [(String, FieldValue)] {
      #expect(throws: RecallTaskError.self) {
        try RecallTaskConfiguration(name: name, options: options)
      }
    }
  }

  /// Long prompts come from a few short encodings, not from encoding the text again and again.
  @Test func longPasskeyRowsAreCheap() throws {
    let tokenizer = TestTokenizer()
    let task = try source("passkey", length: 65_536, tokenizer: tokenizer)
    _ = try SampleArrays(task, 0)
    let before = tokenizer.encodedBytes
    _ = try SampleArrays(task, 1)
    #expect(tokenizer.encodedBytes - before < 40_000)
  }

  @Test func sequencesThatAreTooShortAreRefused() {
    for name in Self.names {
      #expect(throws: RecallTaskError.self) {
        try source(name, length: 100, tokenizer: TestTokenizer())
      }
    }
    #expect(throws: RecallTaskError.tokenizerNeeded(task: "passkey")) {
      try source("passkey", length: 4096)
    }
  }
}
