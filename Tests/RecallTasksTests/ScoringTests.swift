import Fields
import Foundation
import RecallTasks
import Testing
import TokenData

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

  private struct Match: Decodable {
    let prediction: String
    let references: [String]
    let score: Double
  }

  /// What lm-evaluation-harness gives for the same table, which `make interop` compares.
  @Test func stringMatchAllIsRulers() throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Fixtures/recall/string_match_all.json")
    let cases = try JSONDecoder().decode([Match].self, from: Data(contentsOf: file))
    #expect(cases.count == 9)
    for match in cases {
      let score = GenerationMetric.stringMatchAll.score(
        match.prediction, references: match.references)
      #expect(score == match.score, "\(match)")
    }
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
      (
        "mqr", [:],
        "value: `task`: expected one of mqar, markov, copying, selective_copying, string_copying,"
          + " passkey, phonebook, text_copying, classification, niah_single_1, niah_single_2,"
          + " niah_single_3, niah_multikey_1, niah_multikey_2, niah_multikey_3, niah_multivalue,"
          + " niah_multiquery, niah_near_miss, found `mqr`; did you mean `mqar`?"
      ),
      ("mqar", ["pair": 3], "value: unknown key `pair`; did you mean `pairs`?"),
      (
        "mqar", ["notes": 3],
        "value: unknown key `notes`; known here: vocab, pairs, updates, layout, keys, values,"
          + " power_a, random_non_queries"
      ),
      (
        "mqar", ["pairs": "x"],
        "value: `pairs`: expected an integer or a list of integers, found the text \"x\""
      ),
      ("mqar", ["pairs": 100], "task mqar: option 'pairs' of 100 need a sequence of 400"),
      (
        "mqar", ["pairs": 12, "updates": 9],
        "task mqar: option 'pairs' of 12 with 9 updates need a sequence of 66 or more, not 64"
      ),
      (
        "mqar", ["pairs": [4, 3], "updates": 4],
        "task mqar: option 'updates' is 4, more than the 3 pairs of a sample"
      ),
      (
        "mqar", ["pairs": 5, "updates": 4, "vocab": 20, "values": 8],
        "task mqar: option 'values' leaves 8 value ids for 9 distinct values"
      ),
      (
        "mqar", ["layout": "dense", "updates": 1, "values": 1],
        "task mqar: option 'updates' needs two value ids or more, not 1"
      ),
      ("mqar", ["pairs": 0], "value: `pairs`: must be at least 1, found 0"),
      ("mqar", ["pairs": []], "value: `pairs`: at least one number is needed"),
      ("mqar", ["vocab": 8, "pairs": 4], "task mqar: option 'keys' leaves 3 key ids"),
      (
        "mqar", ["layout": "denser"],
        "value: `layout`: expected one of zoology, dense, found `denser`"
      ),
      ("mqar", ["keys": 8191], "task mqar: option 'values' leaves no value id"),
      ("mqar", ["keys": 9000], "task mqar: option 'keys' is 9000, not between 1 and 8191"),
      (
        "mqar", ["keys": 9_223_372_036_854_775_807, "values": 9_223_372_036_854_775_807],
        "value: `keys`: must be at most 1073741824, found 9223372036854775807"
      ),
      ("mqar", ["values": 20_000_000], "value: `values`: must be between 1 and 16777216"),
      ("mqar", ["pairs": 1_000_000], "task mqar: option 'keys' leaves 4095 key ids for"),
      ("mqar", ["vocab": 1e19], "value: `vocab`: must be at most 1073741824, found 1e+19"),
      ("mqar", ["vocab": -1e19], "value: `vocab`: must be between 4 and 16777216, found -1e+19"),
      ("mqar", ["vocab": 8.5], "value: `vocab`: expected an integer, found the number 8.5"),
      ("markov", ["first_id": -1], "value: `first_id`: must be between 0 and 16777216, found -1"),
      ("copying", ["tokens": 1_000_000], "task copying: option 'tokens' is 1000000"),
      ("mqar", ["power_a": 0], "value: `power_a`: must be above 0.0, found 0.0"),
      ("markov", ["symbols": 1], "value: `symbols`: must be between 2 and 4096, found 1"),
      (
        "copying", ["tokens": 32],
        "task copying: option 'tokens' is 32: a sequence of 64 holds 1 to 31, and 32 need a"
          + " sequence of 65 or more"
      ),
      (
        "selective_copying", ["tokens": 33, "form": "s4"],
        "task selective_copying: option 'tokens' is 33: a sequence of 64 holds 1 to 32, and 33"
      ),
      (
        "string_copying", ["max_length": 32],
        "task string_copying: option 'max_length' of 32 needs a sequence of 66 or more, not 64"
      ),
      (
        "string_copying", ["max_length": 9],
        "task string_copying: option 'max_length' is 9, less than min_length, 10"
      ),
      (
        "string_copying", ["mode": "suffix_lookup", "letters": 3, "ngram": 2],
        "task string_copying: option 'ngram' is 2: too few for strings of 25 out of 3 letters"
      ),
      (
        "string_copying", ["mode": "prefix_lookup", "answer": 8],
        "task string_copying: option 'min_length' is 10: an n-gram of 3 and its answer need 11"
      ),
      ("classification", ["classes": 9], "value: `classes`: must be between 2 and 8, found 9"),
      ("niah_single_2", ["haystack": ""], "value: `haystack`: expected a text (quote it"),
      ("niah_single_2", ["haystack": "/no/such.txt"], "cannot open /no/such.txt: No such file"),
      ("niah_multivalue", ["questions": 11], "value: `questions`: must be between 1 and 10"),
      (
        "niah_near_miss", ["near": 2, "questions": 4], "value: `questions`: must be between 1 and 3"
      ),
      ("phonebook", ["entries": 2], "value: `entries`: must be between 3 and 12954, found 2"),
      (
        "phonebook", ["entries": "all"],
        "value: `entries`: expected one of fill, found `all`"
      ),
      ("phonebook", ["entries": []], "value: `entries`: at least one number is needed"),
      (
        "phonebook", ["entries": 3],
        "task phonebook: the shortest row has "
      ),
      ("passkey", ["fill": "x"], "value: `fill`: expected one of exact, stuffed-mamba, found `x`"),
      ("passkey", ["max_new_tokens": 0], "value: `max_new_tokens`: must be between 1 and 1048576"),
    ] as [(String, FieldValue, String)])
  func badRequestsAreNamed(_ name: String, _ options: FieldValue, _ message: String) {
    do {
      _ = try source(name, options, length: 64, tokenizer: TestTokenizer())
      Issue.record("accepted")
    } catch {
      #expect("\(error)".hasPrefix(message), "\(error)")
    }
  }
}
