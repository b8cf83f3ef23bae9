import Evaluation
import JSON
import LanguageModels
import RecallTasks
import Testing
import TokenData

@Suite("Generation")
struct GenerationTests {
  /// The most likely token after each of `tokens`, from one pass over all of them.
  private func fullSequence(_ tokens: [Int32], _ evaluated: EvaluatedModel) throws -> [Int32] {
    let pass = SequencePass(
      evaluated.model, batch: 1, length: tokens.count, segmentLength: tokens.count, trains: false)
    let batch = SampleBatch(sampleCount: 1, sequenceLength: tokens.count)
    for (index, token) in tokens.enumerated() { batch.inputs[index] = token }
    batch.weights.update(repeating: 1)
    let samples = SequenceSamples(
      inputs: try #require(batch.inputs.baseAddress),
      targets: try #require(batch.targets.baseAddress),
      weights: try #require(batch.weights.baseAddress))
    var predictions = [Int32](repeating: -1, count: tokens.count)
    predictions.withUnsafeMutableBufferPointer {
      guard let base = $0.baseAddress else { return }
      pass.predict(samples, parameters: evaluated.parameters.pointer, into: base)
    }
    return predictions
  }

  @Test(
    "token by token is what the whole sequence gives", arguments: fixtureNames, [1, 5, 16, 500])
  func decodeEqualsFullSequence(name: String, segment: Int) throws {
    let model = try fixtureModel(name, segmentLength: segment)
    let prompt = Array(try Reference.load(name).tokens[0].prefix(33))
    let generated = try Generator(model).continuation(of: prompt, maximumNewTokens: 20)
    #expect(generated.count == 20)
    let whole = try fullSequence(prompt + generated.dropLast(), model)
    #expect(Array(whole.suffix(20)) == generated)
  }

  @Test("a generator forgets the prompt before")
  func startsAfresh() throws {
    let model = randomModel(vocabulary: 40)
    let generator = Generator(model)
    let first = try generator.continuation(of: [1, 2, 3], maximumNewTokens: 12)
    _ = try generator.continuation(of: [9, 8, 7, 6], maximumNewTokens: 5)
    #expect(try generator.continuation(of: [1, 2, 3], maximumNewTokens: 12) == first)
  }

  @Test("drawing tokens follows the seed, and the temperature goes to greedy")
  func sampling() throws {
    let generator = Generator(randomModel(vocabulary: 40))
    func draw(_ temperature: Double, _ seed: UInt64) throws -> [Int32] {
      try generator.continuation(
        of: [1], maximumNewTokens: 16,
        choice: .sampled(Sampling(temperature: temperature), seed: seed))
    }
    #expect(try draw(1, 1) == draw(1, 1))
    #expect(try draw(1, 1) != draw(1, 2))
    #expect(try draw(1e-6, 3) == generator.continuation(of: [1], maximumNewTokens: 16))
  }

  @Test("stops at stop tokens, budgets and the caller's word, and never says padding")
  func stops() throws {
    let counting = automaton(
      vocabulary: 16, Dictionary(uniqueKeysWithValues: (0..<15).map { ($0, $0 + 1) }), otherwise: 0)
    let generator = Generator(counting)
    #expect(try generator.continuation(of: [0], maximumNewTokens: 3) == [1, 2, 3])
    #expect(
      try generator.continuation(of: [0], maximumNewTokens: 9, stopTokens: [4]) == [1, 2, 3])
    #expect(
      try generator.continuation(of: [0], maximumNewTokens: 9) { $0.count == 2 } == [1, 2])
    #expect(
      try Generator(counting, usableVocabulary: 5).continuation(of: [3], maximumNewTokens: 2)
        .allSatisfy { $0 < 5 })
    #expect(throws: EvaluationError.emptyPrompt) { try generator.start([]) }
    #expect(throws: EvaluationError.token(id: 16, vocabulary: 16)) {
      try generator.continuation(of: [1, 16], maximumNewTokens: 1)
    }
    counting.parameters.fill(.nan)
    #expect(throws: EvaluationError.self) {
      try generator.continuation(of: [1], maximumNewTokens: 1)
    }
  }

  @Test("questions are asked, answered, scored and sorted by depth")
  func passkey() throws {
    let samples = 40
    let configuration = try RecallTaskConfiguration(name: "passkey", options: [:])
    let tokenizer = ByteTokenizer()
    let task = try configuration.makeGenerationTask(
      sequenceLength: 600, seed: 2, tokenizer: tokenizer)
    // A key of five different digits, which a model that looks at one byte can spell.
    let (index, key) = try #require(
      try (0..<samples).lazy.map { (index: Int) in
        (index, try task.item(index, of: samples).answers[0])
      }.first { Set($0.1).count == 5 })
    let model = automaton(
      vocabulary: 264, chain("s " + key, then: 256), otherwise: Int32(UInt8(ascii: "?")))
    let questions = try GenerationAccuracy(
      configuration, sequenceLength: 600, seed: 2, tokenizer: tokenizer, of: model)
    let right = try questions.answer(index, of: samples)
    #expect(right.score("contains") == 1 && right.prediction == " " + key)
    let prompt = try #require(right.prompt)
    #expect(prompt.tokens <= 600 && prompt.tokens == prompt.bytes)
    #expect(prompt.end.hasSuffix("The passkey is"))
    let tasks = try EvaluationTask.tasks(
      name: "passkey", options: [:], defaults: .init(sequenceLength: 600, samples: samples))
    let result = try tasks[0].measure(model, seed: 2, tokenizer: tokenizer)
    #expect(result.metric == "contains" && result.summary.samples == samples)
    #expect(result.lengths[0].scores[index] == 1)
    // Depth (i + 0.5) / 40: four questions a bin, ours in its own.
    #expect(result.lengths[0].depths.map(\.count) == [Int](repeating: 4, count: 10))
    #expect(result.lengths[0].depths[index / 4].contains(1))
    let json = EvaluationReport(tasks: [result]).json["tasks"]?["passkey"]?["lengths"]?["600"]
    #expect(json?["depths"]?["0.1"]?["samples"]?.integer() == 4)
    #expect(json?["mean_prompt_tokens"]?.double == json?["mean_prompt_bytes"]?.double)
  }

  @Test("an exact match ends at the end of the line")
  func phonebook() throws {
    let configuration = try RecallTaskConfiguration(
      name: "phonebook", options: ["entries": 5])
    let model = automaton(
      vocabulary: 257, chain(": 7\nx", then: 88), otherwise: Int32(UInt8(ascii: "x")))
    let questions = try GenerationAccuracy(
      configuration, sequenceLength: 400, seed: 2, tokenizer: ByteTokenizer(), of: model)
    let answer = try questions.answer(0, of: 4)
    #expect(answer.prediction == " 7\n" && answer.score("exact_match") == 0)
  }

  /// Transitions that spell `text` byte by byte and end with `last`.
  private func chain(_ text: String, then last: Int32) -> [Int32: Int32] {
    let bytes = text.utf8.map { Int32($0) } + [last]
    return Dictionary(zip(bytes, bytes.dropFirst()), uniquingKeysWith: { first, _ in first })
  }
}
