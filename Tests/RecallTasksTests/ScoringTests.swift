import Foundation
import RecallTasks
import Testing

@Suite struct ScoringTests {
  @Test(arguments: [
    (GenerationMetric.contains, "It was BOB.", ["bob"], 1.0),
    (.contains, "It was BOB.", ["alice", "bo"], 1.0),
    (.contains, "It was BOB.", ["alice"], 0.0),
    (.contains, "anything", [], 0.0),
    (.stringMatchAll, "1 2", ["1", "3"], 0.5),
    (.stringMatchAll, " A\u{7}b ", ["a\nB"], 1.0),
    (.exactMatch, " 9000000004 \nBob: 7", ["9000000004"], 1.0),
    (.exactMatch, "9000000004.", ["9000000004"], 0.0),
    (.exactMatch, "\n9000000004", ["9000000004"], 0.0),
  ])
  func metric(
    _ example: (metric: GenerationMetric, prediction: String, references: [String], score: Double)
  ) {
    #expect(
      example.metric.score(example.prediction, references: example.references)
        == example.score)
  }

  @Test func tokenAccuracyLooksAtCountedPositionsOnly() {
    let batch = SampleBatch(sampleCount: 1, sequenceLength: 4)
    for i in 0..<4 { batch.targets[i] = Int32(i) }
    batch.weights[1] = 1
    batch.weights[3] = 1
    let predictions: [Int32] = [9, 1, 9, 9]
    let accuracy = predictions.withUnsafeBufferPointer {
      tokenAccuracy(predictions: $0, sample: batch[0])
    }
    #expect(accuracy == 0.5)
    batch.weights.update(repeating: 0)
    let none = predictions.withUnsafeBufferPointer {
      tokenAccuracy(predictions: $0, sample: batch[0])
    }
    #expect(none == nil)
  }

  @Test func summaryHasMeanAndStandardError() {
    let summary = ScoreSummary([0, 1, 1, 1])
    #expect(summary.mean == 0.75)
    #expect(abs(summary.standardError - 0.25) < 1e-15)
    #expect(summary.samples == 4)
    #expect(ScoreSummary([0.5]).standardError == 0)
    #expect(ScoreSummary([]).mean.isNaN)
  }
}

@Suite struct RegistryTests {
  @Test func everyNameMakesASource() throws {
    for name in RecallTaskConfiguration.names {
      let task = try source(name, length: 2048, tokenizer: TestTokenizer())
      let sample = try SampleArrays(task, 3)
      #expect(!sample.counted.isEmpty)
      #expect(sample.inputs.allSatisfy { $0 >= 0 && $0 < task.requiredVocabulary })
      #expect(sample.targets.allSatisfy { $0 >= 0 && $0 < task.requiredVocabulary })
    }
  }

  @Test(
    arguments: [
      ("mqr", [:], "task 'mqr' is not known; did you mean 'mqar'?"),
      (
        "mqar", ["pair": TaskOption.int(3)],
        "task mqar: unknown option 'pair'; did you mean 'pairs'? Known options: vocab, pairs, layout,"
          + " power_a, random_non_queries, keys, values"
      ),
      (
        "mqar", ["pairs": .string("x")],
        "task mqar: option 'pairs' must be a whole number or a list"
      ),
      ("mqar", ["pairs": .int(100)], "task mqar: option 'pairs' of 100 need a sequence of 400"),
      ("mqar", ["pairs": .int(0)], "task mqar: option 'pairs' must hold numbers of 1 or more"),
      ("mqar", ["pairs": .list([])], "task mqar: option 'pairs' must hold numbers of 1 or more"),
      ("mqar", ["vocab": .int(8), "pairs": .int(4)], "task mqar: option 'keys' leaves 3 key ids"),
      ("mqar", ["layout": .string("denser")], "task mqar: option 'layout' must be one of zoology"),
      ("mqar", ["keys": .int(8191)], "task mqar: option 'values' leaves no value id"),
      ("mqar", ["keys": .int(9000)], "task mqar: option 'keys' is 9000, not between 1 and 8191"),
      (
        "mqar", ["keys": .int(.max), "values": .int(.max)],
        "task mqar: option 'keys' is 9223372036854775807, not between 1 and 8191"
      ),
      ("mqar", ["values": .int(.max)], "task mqar: option 'values' is 9223372036854775807, not"),
      ("mqar", ["pairs": .int(.max)], "task mqar: option 'keys' leaves 4095 key ids for"),
      ("mqar", ["vocab": .int(.max)], "task mqar: option 'vocab' is 9223372036854775807, not"),
      ("markov", ["first_id": .int(.max)], "task markov: option 'first_id' is 9223372036854775807"),
      ("copying", ["tokens": .int(.max)], "task copying: option 'tokens' is 9223372036854775807"),
      ("mqar", ["power_a": .int(0)], "task mqar: option 'power_a' is 0.0, not above 0"),
      ("markov", ["symbols": .int(1)], "task markov: option 'symbols' is 1, not between 2"),
      ("copying", ["tokens": .int(32)], "task copying: option 'tokens' is 32: a sequence of 64"),
      ("phonebook", ["entries": .int(2)], "task phonebook: option 'entries' is 2, not between"),
      ("passkey", ["fill": .string("x")], "task passkey: option 'fill' must be one of exact"),
    ] as [(String, [String: TaskOption], String)])
  func badRequestsAreNamed(_ name: String, _ options: [String: TaskOption], _ message: String) {
    do {
      _ = try source(name, options, length: 64, tokenizer: TestTokenizer())
      Issue.record("accepted")
    } catch {
      #expect("\(error)".hasPrefix(message), "\(error)")
    }
  }
}
