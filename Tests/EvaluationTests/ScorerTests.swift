import Evaluation
import Foundation
import Testing

/// Scorers give what lm-evaluation-harness's own functions gave (`Fixtures/scorers`).
@Suite("Scorers of task files")
struct ScorerTests {
  private struct Cases: Decodable {
    struct Choice: Decodable {
      let nats: [Double]
      let choices: [String]
      let gold: [Int]
      let acc, accNorm, accBytes: Double
    }

    struct Options: Decodable {
      let ignoreCase, ignorePunctuation: Bool?
    }

    struct Text: Decodable {
      let prediction: String
      let answers: [String]
      let options: Options
      let exactMatch, contains, stringMatchAll: Double
    }

    struct Document: Decodable {
      let text: String
      let words, bytes: Double
    }

    struct Aggregate: Decodable {
      let nats, sizes, gold, chosen: [Double]
      let perplexity, bitsPerByte, weightedPerplexity, meanStderr, macroF1: Double
    }

    let choices: [Choice]
    let texts: [Text]
    let documents: [Document]
    let aggregates: [Aggregate]
  }

  private let cases: Cases

  init() throws {
    let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("Fixtures/scorers/cases.json")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    cases = try decoder.decode(Cases.self, from: Data(contentsOf: url))
  }

  private func value(_ scores: [SampleRecord.Score], _ metric: String) -> Double? {
    SampleRecord(id: .null, scores: scores).score(metric)
  }

  @Test("choices")
  func choices() {
    #expect(cases.choices.count >= 8)
    for test in cases.choices {
      let scores = FileTaskScoring.choice(
        likelihoods: test.nats, tokens: test.nats.map { _ in 1 }, choices: test.choices,
        gold: test.gold, comparesMeans: false
      ).scores
      #expect(value(scores, "acc") == test.acc, "\(test)")
      #expect(value(scores, "acc_norm") == test.accNorm, "\(test)")
      #expect(value(scores, "acc_bytes") == test.accBytes, "\(test)")
    }
  }

  @Test("means a token decide where the task says so")
  func means() {
    func chosen(_ comparesMeans: Bool) -> Int {
      FileTaskScoring.choice(
        likelihoods: [-4, -6], tokens: [1, 3], choices: ["a", "b"], gold: [1],
        comparesMeans: comparesMeans
      ).chosen
    }
    #expect(chosen(false) == 0 && chosen(true) == 1)
  }

  @Test("texts")
  func texts() {
    #expect(cases.texts.count >= 13)
    for test in cases.texts {
      var match = FileTask.Match()
      match.ignoresCase = test.options.ignoreCase ?? false
      match.ignoresPunctuation = test.options.ignorePunctuation ?? false
      let scores = FileTaskScoring.text(test.prediction, answers: test.answers, match: match)
      #expect(value(scores, "exact_match") == test.exactMatch, "\(test)")
      // The options are those of exact_match.
      let plain = FileTaskScoring.text(test.prediction, answers: test.answers, match: .init())
      #expect(value(plain, "contains") == test.contains, "\(test)")
      #expect(value(plain, "string_match_all") == test.stringMatchAll, "\(test)")
    }
  }

  @Test("sizes of documents")
  func sizes() {
    for test in cases.documents {
      let sizes = FileTaskScoring.sizes(test.text)
      #expect(value(sizes, "words") == test.words && value(sizes, "bytes") == test.bytes, "\(test)")
    }
  }

  @Test("metrics over samples")
  func aggregates() {
    #expect(cases.aggregates.count == 4)
    for test in cases.aggregates {
      let records = test.nats.indices.map { index in
        SampleRecord(
          id: .integer(index),
          scores: [
            .init("nll", -test.nats[index]), .init("bytes", test.sizes[index]),
            .init("words", test.sizes[index]), .init("gold", test.gold[index]),
            .init("chosen", test.chosen[index]), .init("contains", -test.nats[index]),
          ])
      }
      func check(_ metric: FileTaskMetric, _ wanted: Double) {
        let found = metric.value(records).value
        #expect(abs(found - wanted) <= 1e-12 * abs(wanted), "\(metric): \(found), not \(wanted)")
      }
      check(.perplexity, test.perplexity)
      check(.bitsPerByte, test.bitsPerByte)
      check(.bytePerplexity, test.weightedPerplexity)
      check(.wordPerplexity, test.weightedPerplexity)
      check(.macroF1, test.macroF1)
      let error = FileTaskMetric.contains.value(records).standardError
      #expect(abs(error - test.meanStderr) <= 1e-12 * test.meanStderr)
    }
  }

  @Test("errors of functions of means are near those of the bootstrap")
  func errors() {
    let records = (0..<200).map { index in
      let nats = 3 + 0.6 * sin(Double(index) * 1.7) + 0.2 * cos(Double(index * index))
      return SampleRecord(
        id: .integer(index),
        scores: [.init("nll", nats), .init("bytes", nats * 1.1 + 0.5 * sin(Double(index)))])
    }
    for metric in [FileTaskMetric.perplexity, .bitsPerByte, .bytePerplexity] {
      let drawn = Bootstrap(seed: 3).deviation(of: records) { metric.value($0).value }
      let found = metric.value(records).standardError
      // 1000 draws know a deviation to 2 %; the delta method is exact to first order only.
      #expect(found > 0 && abs(found / drawn - 1) < 0.1, "\(metric): \(found), \(drawn)")
    }
  }

  @Test("a text is compared as the task says")
  func match() {
    var match = FileTask.Match()
    #expect(match.applied(to: " A.b\n c") == " A.b\n c")
    match.isFirstLine = true
    #expect(match.applied(to: " A.b\n c") == " A.b")
    match.strips = true
    match.ignoresCase = true
    match.ignoresPunctuation = true
    #expect(match.applied(to: " A.b\r\n c") == "ab")
    var controls = FileTask.Match()
    controls.stripsControls = true
    #expect(controls.applied(to: "a\tb\u{1}c") == "a\nb\nc")
  }
}
