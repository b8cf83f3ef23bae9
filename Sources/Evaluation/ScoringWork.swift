import JSON

/// How much was asked of a `RequestScorer`, and how much it computed.
public struct ScoringWork: Sendable, Equatable {
  /// Requests that were answered.
  public let requests: Int
  /// Tokens that the model reads when each request is answered by itself.
  public let tokens: Int
  /// Tokens that the model read: common starts once, and the padding of shorter neighbours.
  public let computedTokens: Int

  /// Names the numbers.
  public init(requests: Int, tokens: Int, computedTokens: Int) {
    self.requests = requests
    self.tokens = tokens
    self.computedTokens = computedTokens
  }

  /// The report: `{"requests": ..., "tokens": ..., "computed_tokens": ...}`.
  public var json: JSONValue {
    .object([
      JSONMember("requests", .integer(requests)), JSONMember("tokens", .integer(tokens)),
      JSONMember("computed_tokens", .integer(computedTokens)),
    ])
  }
}
