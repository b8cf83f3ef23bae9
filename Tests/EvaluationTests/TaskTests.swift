import Evaluation
import Fields
import Foundation
import JSON
import LanguageModels
import RecallTasks
import Testing
import TokenData

@Suite("Recall tasks")
struct TaskTests {
  private let defaults = EvaluationTask.Defaults(sequenceLength: 64, samples: 20)

  @Test("a model that always says one id is right as often as that id is wanted")
  func constantModel() throws {
    let answer: Int32 = 5
    let model = automaton(vocabulary: 16, [:], otherwise: answer)
    let task = try RecallTaskConfiguration(name: "copying", options: ["tokens": 7])
    let scores = try TokenAccuracy(task, sequenceLength: 33, seed: 4, of: model).records(40)
      .compactMap { $0.score("accuracy") }
    let source = try task.makeSource(sequenceLength: 33, seed: 4, stream: .evaluation)
    let sample = SampleBatch(sampleCount: 1, sequenceLength: 33)
    let wanted = try (0..<40).map { index in
      try source.write(sample: UInt64(index), into: sample[0])
      let counted = (0..<33).filter { sample.weights[$0] > 0 }
      return Double(counted.count { sample.targets[$0] == answer }) / Double(counted.count)
    }
    #expect(scores == wanted)
    #expect(scores.contains { $0 > 0 } && scores.contains { $0 < 1 })
  }

  @Test("scores do not depend on segments or on batches", arguments: [13, 64, 1000])
  func segments(segment: Int) throws {
    let task = try RecallTaskConfiguration(
      name: "markov", options: ["symbols": 12, "table_seed": 1])
    let whole = try TokenAccuracy(
      task, sequenceLength: 50, seed: 1, of: randomModel(vocabulary: 16, segmentLength: 1 << 14)
    ).records(30)
    let parts = try TokenAccuracy(
      task, sequenceLength: 50, seed: 1, of: randomModel(vocabulary: 16, segmentLength: segment))
    #expect(try parts.records(30) == whole)
    #expect(Set(whole.map { $0.score("accuracy") }).count > 1)
  }

  @Test("a list of pairs is measured count by count, with chance")
  func pairs() throws {
    let tasks = try EvaluationTask.tasks(
      name: "mqar",
      options: [
        "pairs": [4, 8], "vocab": 64, "samples": 5,
        "sequence_length": [32, 48],
      ], defaults: defaults)
    #expect(tasks.map(\.name) == ["mqar_4", "mqar_8"])
    #expect(tasks.map(\.lengths) == [[32, 48], [32, 48]] && tasks.map(\.samples) == [5, 5])
    let result = try tasks[1].measure(randomModel(vocabulary: 64), seed: 0)
    #expect(result.chance == 1.0 / 32)
    #expect(result.lengths.map(\.sequenceLength) == [32, 48])
    #expect(result.lengths.map(\.scores.count) == [5, 5] && result.summary.samples == 10)
    let single = try EvaluationTask.tasks(
      name: "mqar", options: ["pairs": 4, "as": "recall"], defaults: defaults)
    #expect(single.map(\.name) == ["recall"] && single[0].lengths == [64])
    #expect(throws: EvaluationError.duplicateName("recall")) {
      try EvaluationTask.requireDistinctNames((single + single).map(\.name))
    }
  }

  @Test("every task can be measured", arguments: RecallTaskConfiguration.names)
  func everyTask(_ name: String) throws {
    let options: FieldValue = name == "mqar" ? ["vocab": 64] : [:]
    let tasks = try EvaluationTask.tasks(
      name: name, options: options, defaults: .init(sequenceLength: 1800, samples: 2))
    let result = try tasks[0].measure(
      randomModel(vocabulary: 257, segmentLength: 1024), seed: 0, tokenizer: ByteTokenizer())
    #expect(result.lengths.map(\.scores.count) == [2] && result.summary.mean.isFinite)
    let metrics =
      ["phonebook", "text_copying", "classification"].contains(name)
      ? "exact_match"
      : name.hasPrefix("niah") ? "string_match_all" : name == "passkey" ? "contains" : "accuracy"
    #expect(result.metric == metrics)
    let json = EvaluationReport(tasks: [result]).json["tasks"]?[name]
    let hasText = RecallTaskConfiguration.has(option: "haystack", task: name)
    #expect((json?["haystack"]?["words"]?.integer() != nil) == hasText)
    #expect((json?["chance"] == nil) == (metrics != "accuracy" && name != "classification"))
  }

  @Test(
    "lists of what makes a task hard are measured value by value",
    arguments: [
      ("phonebook", "entries", [5, 9]), ("text_copying", "words", [4, 8]),
      ("classification", "demonstrations", [0, 4]),
    ] as [(String, String, [Int])])
  func sweeps(_ name: String, _ option: String, _ values: [Int]) throws {
    let list = FieldValue.list(values.map(FieldValue.integer))
    let tasks = try EvaluationTask.tasks(
      name: name, options: .mapping([(option, list)]), defaults: defaults)
    #expect(tasks.map(\.name) == values.map { "\(name)_\($0)" })
  }

  @Test("a text for all tasks that hide needles in one, unless they name their own")
  func haystacks() throws {
    var defaults = defaults
    defaults.haystack = "/nowhere/default.txt"
    func source(_ name: String, _ options: FieldValue = [:]) throws -> HaystackSource? {
      let task = try EvaluationTask.tasks(name: name, options: options, defaults: defaults)[0]
      return try task.configuration.haystack()
    }
    #expect(try source("niah_single_1") == nil && source("mqar") == nil)
    for (options, path) in [
      ([:], "/nowhere/default.txt"), (["haystack": "/nowhere/own.txt"], "/nowhere/own.txt"),
    ] as [(FieldValue, String)] {
      let error = #expect(throws: RecallTaskError.self) { try source("niah_single_2", options) }
      #expect(error?.description.contains(path) == true && error?.exitCode == 74)
    }
  }

  @Test("what cannot be measured is said")
  func refusals() throws {
    #expect(throws: RecallTaskError.self) {
      try EvaluationTask.tasks(name: "mqra", options: [:], defaults: defaults)
    }
    for (name, option) in [
      ("samples", 0), ("sequence_length", "x"), ("as", 3), ("samples", [1, 2]),
      ("sequence_length", [8, 8]), ("sequence_length", []), ("sequence_length", 1e30),
    ] as [(String, FieldValue)] {
      let error = #expect(throws: RecallTaskError.self) {
        try EvaluationTask.tasks(
          name: "copying", options: .mapping([(name, option)]), defaults: defaults)
      }
      #expect(error?.description.contains(name) == true && error?.exitCode == 64)
    }
    let mqar = try RecallTaskConfiguration(name: "mqar", options: [:])
    #expect(throws: EvaluationError.vocabulary(task: "mqar", needed: 8192, model: 64)) {
      try TokenAccuracy(
        mqar, sequenceLength: 32, seed: 0, of: randomModel(vocabulary: 64))
    }
    let passkey = try EvaluationTask.tasks(name: "passkey", options: [:], defaults: defaults)
    #expect(throws: RecallTaskError.tokenizerNeeded(task: "passkey")) {
      try passkey[0].measure(randomModel(vocabulary: 257), seed: 0)
    }
  }

  @Test("the report has the agreed form")
  func report() throws {
    var report = EvaluationReport()
    var sequences = [3.0, 5.0].enumerated().map { index, nats in
      SampleRecord(id: .integer(index), scores: [.init("nll", nats)])
    }
    sequences[0].tokenNLL = [0.25, .nan]
    report.perplexity = Perplexity.Result(sequences, sequenceLength: 4)
    var result = TaskResult(name: "mqar_8", metric: "accuracy", chance: 0.5)
    func length(_ length: Int, _ scores: [Double]) -> TaskResult.Length {
      let records = scores.enumerated().map { index, score in
        SampleRecord(id: .integer(index), scores: [.init("accuracy", score)])
      }
      return TaskResult.Length(length, records, metric: "accuracy")
    }
    result.lengths = [length(32, [1, 0]), length(64, [1, 1])]
    report.tasks = [result]
    let json = report.json
    #expect(json["perplexity"]?["nll"]?.double == 1)
    #expect(json["perplexity"]?["tokens"]?.integer() == 8)
    // Means of 0.75 and 1.25: deviation 0.3536, over the root of two.
    #expect(abs((json["perplexity"]?["stderr"]?.double ?? 0) - 0.25) < 1e-15)
    #expect(json["perplexity"]?["token_nll"] == .array([.number("0.25"), .null]))
    let task = json["tasks"]?["mqar_8"]
    #expect(task?["accuracy"]?.double == 0.75 && task?["samples"]?.integer() == 4)
    #expect(task?["stderr"]?.double == 0.25 && task?["chance"]?.double == 0.5)
    #expect(task?["lengths"]?["32"]?["accuracy"]?.double == 0.5)
    #expect(task?["lengths"]?["32"]?["stderr"]?.double == 0.5)
  }
}
