import ArgumentParser
import CommandSupport
import Evaluation
import Files
import Foundation
import JSON
import TokenData

/// `statex score`: answers lm-evaluation-harness's requests, one JSON object a line.
struct ScoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "score", abstract: "Answer requests for likelihoods and generated text.",
    discussion: """
      Reads one JSON object a line from stdin (or --requests FILE) and writes one answer a line, in \
      the same order. Requests are answered together when an empty line, the end or 4096 of them \
      have come. A request that cannot be answered gets an answer with an error. docs/python.md \
      describes requests and answers.
      """)

  /// Requests that are answered together at most.
  private static let window = 4096
  /// Bytes of a line at most: 1 GiB.
  private static let maximumLineBytes = 1 << 30

  @Option(help: "A Hugging Face model directory.")
  var model: String

  @Option(help: "Read the requests from this file.")
  var requests: String?

  @Option(help: "A directory with a tokenizer.json, or `byte` (default: the model's, if any).")
  var tokenizer: String?

  @OptionGroup var compute: ComputeOptions

  func run() throws {
    let scorer = RequestScorer(try compute.load(model), tokenizer: try findTokenizer())
    let input = try requests.map { try InputFile(path: $0) } ?? .standardInput()
    var lines = LineReader(input, limit: Self.maximumLineBytes)
    var pending: [Line] = []
    var number = 0
    while let bytes = try lines.next() {
      number += 1
      let line = String(decoding: bytes, as: UTF8.self)
      if line.allSatisfy(\.isWhitespace) {
        answer(&pending, scorer)
        continue
      }
      pending.append(Line(number: number, request: read(line, scorer)))
      if pending.count == Self.window { answer(&pending, scorer) }
    }
    answer(&pending, scorer)
  }

  /// A line of input.
  private struct Line {
    let number: Int
    let request: Result<ScoringRequest, RequestError>
  }

  private func findTokenizer() throws -> (any Tokenizer)? {
    if let tokenizer { return try loadTokenizer(tokenizer) }
    let file = model + "/tokenizer.json"
    return try FileSystem.exists(file) ? try loadTokenizer(model) : nil
  }

  private func read(
    _ line: String, _ scorer: RequestScorer
  ) -> Result<ScoringRequest, RequestError> {
    guard line.utf8.count <= Self.maximumLineBytes else {
      return .failure(
        RequestError(id: nil, problem: "longer than \(Self.maximumLineBytes) bytes"))
    }
    return Result { () throws(RequestError) in
      try ScoringRequest(line: line, vocabulary: scorer.vocabulary)
    }
  }

  /// Writes the answers to all pending lines, in their order.
  private func answer(_ pending: inout [Line], _ scorer: RequestScorer) {
    let requests = pending.compactMap { try? $0.request.get() }
    var answers = scorer.answers(to: requests)[...]
    for line in pending {
      switch line.request {
      case .success(let request):
        guard let answer = answers.popFirst() else { continue }
        write(answer, to: request)
      case .failure(let error): write(error, line: line.number)
      }
    }
    pending = []
    fflush(nil)
  }

  private func write(
    _ answer: Result<RequestScorer.Answer, RequestError>, to request: ScoringRequest
  ) {
    var members = [JSONMember("id", request.id)]
    switch answer {
    case .success(.likelihood(let nats, let isGreedy)):
      members.append(JSONMember("loglikelihood", .number("\(nats)")))
      if let isGreedy { members.append(JSONMember("is_greedy", .bool(isGreedy))) }
    case .success(.generation(let tokens, let text)):
      members.append(JSONMember("tokens", .array(tokens.map { .integer($0) })))
      if let text { members.append(JSONMember("text", .string(text))) }
    case .failure(let error): members.append(JSONMember("error", .string(error.problem)))
    }
    write(members)
  }

  private func write(_ error: RequestError, line: Int) {
    let id = error.id.map { [JSONMember("id", $0)] } ?? []
    write(id + [JSONMember("line", .integer(line)), JSONMember("error", .string(error.problem))])
  }

  /// One object on one line.
  private func write(_ members: [JSONMember]) {
    let texts = members.map { member in
      "\"\(member.name)\": " + String(decoding: member.value.encoded(), as: UTF8.self)
    }
    print("{" + texts.joined(separator: ", ") + "}")
  }
}
