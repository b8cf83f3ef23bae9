import Evaluation
import Fields
import Files
import JSON
import RecallTasks
import TokenData

private let requests = [
  #"{"id": 1, "type": "loglikelihood", "context": [1, 2], "continuation": [3]}"#,
  #"{"id": "b", "type": "loglikelihood_rolling", "context": [0], "tokens": [3, 4]}"#,
  #"{"id": 3, "type": "generate_until", "context": [5], "until": ["x"], "max_new_tokens": 4}"#,
  #"{"id": 4, "type": "generate_until", "context": [5], "stop_tokens": [1], "max_new_tokens": 2}"#,
]

extension FuzzTarget {
  /// One request of `statex score`.
  static var scoringRequest: FuzzTarget {
    FuzzTarget("request") { _ in
      Prepared(
        corpus: requests.map { Array($0.utf8) },
        words: ["\"type\"", "\"generate_until\"", "\"loglikelihood\"", "16777216", "16777217"]
      ) { input in
        let request = try ScoringRequest(line: input.text, vocabulary: 10)
        try expect(
          request.context.allSatisfy { (0..<10).contains($0) }, "an id outside the vocabulary")
      }
    }
  }

  /// Lines of requests, read and answered.
  static var scoringSession: FuzzTarget {
    FuzzTarget("requests") { room in
      let scorer = RequestScorer(try smallEvaluatedModel(), tokenizer: ByteTokenizer())
      return Prepared(corpus: [Array(requests.joined(separator: "\n").utf8)]) { input in
        let path = try room.write(input, "requests.jsonl")
        var lines = LineReader(try InputFile(path: path), limit: 1 << 16)
        var session = ScoringSession(scorer)
        while let line = try lines.next() {
          // A long answer is what was asked for.
          if case .generation(_, _, let count)? =
            (try? ScoringRequest(line: Array(line).text, vocabulary: 10))?.kind, count > 16
          {
            continue
          }
          _ = session.take(line)
        }
        _ = session.finish()
      }
    }
  }

  /// Where the score server listens.
  static var localAddress: FuzzTarget {
    FuzzTarget("address") { _ in
      let addresses = ["127.0.0.1:8080", "[::1]:0", "unix:/tmp/a.sock", "127.8.8.8:65535"]
      return Prepared(corpus: addresses.map { Array($0.utf8) }, words: ["unix:", "[::1]", ":"]) {
        let address = try LocalAddress($0.text)
        try expect(try LocalAddress(address.text) == address, address.text)
      }
    }
  }

  /// The options of a task.
  static var taskOptions: FuzzTarget {
    FuzzTarget("task") { _ in
      let options = [
        "mqar": #"{"pairs": [4, 8], "vocab": 128, "power_a": 0.01}"#, "copying": #"{"tokens": 8}"#,
        "markov": #"{"symbols": 16, "first_id": 1, "bos": 0, "table_seed": 7}"#,
        "passkey": #"{"questions": 2, "max_new_tokens": 8}"#, "phonebook": #"{"entries": 5}"#,
      ]
      let corpus = options.map { "{\"task\": \"\($0)\", \"options\": \($1)}" }
      return Prepared(
        corpus: corpus.sorted().map { Array($0.utf8) },
        words: RecallTaskConfiguration.names.map { "\"\($0)\"" }
      ) { input in
        let json = try input.withUnsafeBytes { try JSONValue(parsing: $0, source: "task") }
        let options = FieldValue(json: json["options"] ?? .null, place: .source("task"))
        let task = try RecallTaskConfiguration(
          name: json["task"]?.string ?? "", options: options)
        let source = try task.makeSource(
          sequenceLength: 512, seed: 1, stream: .training, tokenizer: ByteTokenizer())
        try expect(source.requiredVocabulary > 0, "a vocabulary of \(source.requiredVocabulary)")
      }
    }
  }
}
