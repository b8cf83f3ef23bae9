import Evaluation
import Testing
import TokenData

@Suite("Scoring requests")
struct RequestScorerTests {
  private func likelihood(
    _ id: Int, _ context: some Sequence<Int32>, _ continuation: some Sequence<Int32>,
    asksGreedy: Bool = false
  ) -> ScoringRequest {
    ScoringRequest(
      id: .integer(id), context: Array(context),
      kind: .likelihood(continuation: Array(continuation), isGreedy: asksGreedy))
  }

  private func generation(
    _ id: Int, _ context: [Int32], until: [String] = [], stopTokens: [Int32] = [], count: Int
  ) -> ScoringRequest {
    ScoringRequest(
      id: .integer(id), context: context,
      kind: .generation(until: until, stopTokens: stopTokens, maximumNewTokens: count))
  }

  @Test("log likelihoods are PyTorch's, alone and forked", arguments: fixtureNames, [7, 64])
  func likelihoods(name: String, segment: Int) throws {
    let reference = try Reference.load(name)
    let tokens = reference.tokens[0]
    let spans = [
      (1, 1), (1, tokens.count - 1), (40, 3), (40, 9), (40, 1), (41, 2), (3, 60), (70, 4), (70, 11),
    ].filter { $0.0 + $0.1 <= tokens.count }
    let requests = spans.enumerated().map { index, span in
      likelihood(index, tokens[..<span.0], tokens[span.0..<(span.0 + span.1)])
    }
    let scorer = RequestScorer(try fixtureModel(name, segmentLength: segment), tokenizer: nil)
    for (span, answer) in zip(spans, scorer.answers(to: requests)) {
      guard case .likelihood(let nats, nil) = try answer.get() else {
        Issue.record("not a likelihood")
        continue
      }
      let expected = reference.tokenNLL[(span.0 - 1)..<(span.0 + span.1 - 1)].reduce(0, +)
      #expect(abs(nats + expected) < 1e-5 * Double(span.1 + 10))
    }
  }

  @Test("a common start is computed once")
  func sharing() throws {
    let start = (0..<100).map { Int32($0 * 7 % 40) }
    let requests = (0..<8).map { likelihood($0, start, [Int32($0), 3]) }
    let scorer = RequestScorer(randomModel(vocabulary: 40), tokenizer: nil)
    let together = scorer.answers(to: requests)
    #expect(scorer.work == ScoringWork(requests: 8, tokens: 8 * 101, computedTokens: 99 + 8 * 2))
    for (request, answer) in zip(requests, together) {
      let alone = RequestScorer(randomModel(vocabulary: 40), tokenizer: nil)
      guard case .likelihood(let nats, _) = try answer.get(),
        case .likelihood(let expected, _) = try alone.answers(to: [request])[0].get()
      else { continue }
      #expect(abs(nats - expected) < 1e-5)
    }
  }

  @Test("whether a continuation is the greedy one")
  func greedy() throws {
    let scorer = RequestScorer(
      automaton(vocabulary: 16, [1: 2, 2: 3], otherwise: 0), tokenizer: nil)
    let continuations: [[Int32]] = [[2, 3], [2, 4], [3], [2, 3, 0, 0]]
    let answers = scorer.answers(
      to: continuations.enumerated().map { likelihood($0, [5, 1], $1, asksGreedy: true) })
    let greedy = try answers.map { answer -> Bool? in
      guard case .likelihood(_, let isGreedy) = try answer.get() else { return nil }
      return isGreedy
    }
    #expect(greedy == [true, false, false, true])
  }

  @Test("side by side, each text is what it is alone")
  func generations() throws {
    let model = randomModel(vocabulary: 40)
    let start = (0..<60).map { Int32($0 * 11 % 40) }
    let contexts: [[Int32]] =
      [[5], start, start + [1], start + [1, 2, 3], [9, 8, 7], start] + (0..<20).map { [Int32($0)] }
    let requests = contexts.enumerated().map { generation($0, $1, count: 5 + $0 % 7) }
    let answers = RequestScorer(model, tokenizer: nil).answers(to: requests)
    for (index, answer) in answers.enumerated() {
      let alone = try Generator(model).continuation(
        of: contexts[index], maximumNewTokens: 5 + index % 7)
      #expect(try answer.get() == .generation(alone, text: nil))
    }
  }

  @Test("a text ends at a stop, at a stop token, and at its budget")
  func stops() throws {
    let alphabet = Dictionary(uniqueKeysWithValues: (97..<122).map { (Int32($0), Int32($0 + 1)) })
    let tokenizer = ByteTokenizer()
    let scorer = RequestScorer(
      automaton(vocabulary: tokenizer.vocabularySize, alphabet, otherwise: 97),
      tokenizer: tokenizer)
    let a = tokenizer.encode("a", addSpecial: false)
    let answers = scorer.answers(to: [
      generation(0, a, until: ["z", "ef"], count: 20),
      generation(1, a, stopTokens: [101], count: 20),
      generation(2, a, count: 3),
    ])
    let texts = try answers.map { answer -> String? in
      guard case .generation(_, let text) = try answer.get() else { return nil }
      return text
    }
    #expect(texts == ["bcd", "bcd", "bcd"])
  }

  @Test("a model without numbers, and texts without a tokenizer, are answered with the problem")
  func problems() throws {
    let model = randomModel(vocabulary: 40)
    let untold = RequestScorer(model, tokenizer: nil).answers(to: [
      generation(7, [1], until: ["x"], count: 2), likelihood(8, [1], [2]),
    ])
    #expect(throws: RequestError.self) { try untold[0].get() }
    #expect(throws: Never.self) { try untold[1].get() }
    model.parameters.fill(.nan)
    let answers = RequestScorer(model, tokenizer: nil).answers(to: [
      likelihood(1, [1], [2], asksGreedy: true), generation(2, [1], count: 2),
    ])
    for answer in answers { #expect(throws: RequestError.self) { try answer.get() } }
  }

  @Test(
    "what is wrong with a request is said by field",
    arguments: [
      ("{", "not a JSON object"), ("[]", "not a JSON object"),
      (#"{"type": "loglikelihood"}"#, "`id`"), (#"{"id": 1.5}"#, "`id`"),
      (#"{"id": 1, "type": "score"}"#, "`type`"),
      (#"{"id": 1, "type": "loglikelihood", "context": [1]}"#, "`continuation`"),
      (#"{"id": 1, "type": "loglikelihood", "continuation": [1]}"#, "`context`"),
      (#"{"id": 1, "type": "loglikelihood", "context": [], "continuation": [1]}"#, "`context`"),
      (#"{"id": 1, "type": "loglikelihood", "context": [40], "continuation": [1]}"#, "`context`"),
      (#"{"id": 1, "type": "loglikelihood", "context": ["a"], "continuation": [1]}"#, "`context`"),
      (
        #"{"id": 1, "type": "loglikelihood", "context": [1], "continuation": [-1]}"#,
        "`continuation`"
      ),
      (#"{"id": 1, "type": "loglikelihood", "context": [1], "tokens": [1]}"#, "`tokens`"),
      (#"{"id": 1, "type": "generate_until", "context": [1]}"#, "`max_new_tokens`"),
      (
        #"{"id": 1, "type": "generate_until", "context": [1], "max_new_tokens": 0}"#,
        "`max_new_tokens`"
      ),
      (
        #"{"id": 1, "type": "generate_until", "context": [1], "max_new_tokens": 1, "until": [""]}"#,
        "`until`"
      ),
      (
        #"{"id": 1, "type": "loglikelihood", "context": [1e30], "continuation": [1]}"#,
        "request: `context`: must be at most 1073741824, found 1e+30"
      ),
      (
        #"{"id": 1, "type": "loglikelihood", "context": [1], "kontinuation": [1]}"#,
        "request: unknown key `kontinuation`; did you mean `continuation`?"
      ),
    ])
  func wrongRequests(line: String, says: String) {
    let error = #expect(throws: RequestError.self) {
      try ScoringRequest(line: line, vocabulary: 40)
    }
    #expect(error?.problem.contains(says) == true)
  }

  @Test("requests as they are written")
  func rightRequests() throws {
    let rolling = #"{"id": "x", "type": "loglikelihood_rolling", "context": [0], "tokens": [1, 2]}"#
    let request = try ScoringRequest(line: rolling, vocabulary: 40)
    #expect(request.id == .string("x") && request.context == [0])
    #expect(request.kind == .likelihood(continuation: [1, 2], isGreedy: false))
  }
}
