import JSON

/// Answers the lines of one source of requests, in their order.
///
/// Lines are collected and answered together: at an empty line, at the end, or when there are 4096.
public struct ScoringSession {
  /// Requests that are answered together at most.
  public static let window = 4096
  /// Bytes of a line at most: 1 GiB.
  public static let maximumLineBytes = 1 << 30

  private let scorer: RequestScorer
  private var pending: [Line] = []
  private var number: Int

  private struct Line {
    let number: Int
    let request: Result<ScoringRequest, RequestError>
  }

  /// A session without lines.
  ///
  /// - Parameters:
  ///   - scorer: what answers.
  ///   - linesBefore: lines of the source that were something else.
  public init(_ scorer: RequestScorer, linesBefore: Int = 0) {
    self.scorer = scorer
    number = linesBefore
  }

  /// Takes the next line, without its line feed.
  ///
  /// - Parameter bytes: the line; one of more than `maximumLineBytes` is answered with an error.
  /// - Returns: the answers that are now due, each one line with its line feed; mostly none.
  public mutating func take(_ bytes: some Collection<UInt8>) -> String {
    number += 1
    guard bytes.count <= Self.maximumLineBytes else {
      let problem = "longer than \(Self.maximumLineBytes) bytes"
      pending.append(
        Line(number: number, request: .failure(RequestError(id: nil, problem: problem))))
      return pending.count == Self.window ? finish() : ""
    }
    let line = String(decoding: bytes, as: UTF8.self)
    if line.allSatisfy(\.isWhitespace) { return finish() }
    let request = Result { () throws(RequestError) in
      try ScoringRequest(line: line, vocabulary: scorer.vocabulary)
    }
    pending.append(Line(number: number, request: request))
    return pending.count == Self.window ? finish() : ""
  }

  /// The answers to all lines that have none yet.
  public mutating func finish() -> String {
    guard !pending.isEmpty else { return "" }
    defer { pending = [] }
    let requests = pending.compactMap { try? $0.request.get() }
    var answers = scorer.answers(to: requests)[...]
    return pending.reduce(into: "") { text, line in
      switch line.request {
      case .success(let request):
        guard let answer = answers.popFirst() else { return }
        text += ([JSONMember("id", request.id)] + Self.members(of: answer)).line
      case .failure(let error): text += Self.line(error, number: line.number)
      }
    }
  }

  /// The answer to a line that is no request that can be answered.
  public static func line(_ error: RequestError, number: Int) -> String {
    let id = error.id.map { [JSONMember("id", $0)] } ?? []
    return
      (id + [
        JSONMember("line", .integer(number)), JSONMember("error", .string(error.problem)),
      ]).line
  }

  private static func members(
    of answer: Result<RequestScorer.Answer, RequestError>
  ) -> [JSONMember] {
    switch answer {
    case .success(.likelihood(let nats, let isGreedy)):
      [JSONMember("loglikelihood", JSONValue(nats))]
        + (isGreedy.map { [JSONMember("is_greedy", .bool($0))] } ?? [])
    case .success(.generation(let tokens, let text)):
      [JSONMember("tokens", .array(tokens.map { .integer($0) }))]
        + (text.map { [JSONMember("text", .string($0))] } ?? [])
    case .failure(let error): [JSONMember("error", .string(error.problem))]
    }
  }
}
