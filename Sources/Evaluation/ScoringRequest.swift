import JSON

/// Something that `statex score` is asked about a model, in lm-evaluation-harness's three kinds.
public struct ScoringRequest: Sendable, Equatable {
  /// What is wanted.
  public enum Kind: Sendable, Equatable {
    /// The log likelihood of `continuation` after the context; `isGreedy` asks whether it is what greedy
    /// decoding would give.
    case likelihood(continuation: [Int32], isGreedy: Bool)
    /// What greedy decoding gives after the context.
    case generation(until: [String], stopTokens: [Int32], maximumNewTokens: Int)
  }

  /// What the answer is told apart by: a text or an integer, given back as it came.
  public let id: JSONValue
  /// The tokens before, at least one.
  public let context: [Int32]
  /// What is wanted.
  public let kind: Kind

  /// Names the parts.
  public init(id: JSONValue, context: [Int32], kind: Kind) {
    self.id = id
    self.context = context
    self.kind = kind
  }

  /// Tokens of a request at most, context and all: 2^24.
  public static let maximumTokens = 1 << 24
}

/// A request that cannot be answered, and its `id` if it has one.
public struct RequestError: Error, Sendable, Equatable {
  /// The request's `id`.
  public let id: JSONValue?
  /// What is wrong, and with which field.
  public let problem: String

  /// Names the request and its problem.
  public init(id: JSONValue?, problem: String) {
    self.id = id
    self.problem = problem
  }
}

extension ScoringRequest {
  /// Decodes one line.
  ///
  /// - Parameters:
  ///   - line: a JSON object, see `docs/python.md`.
  ///   - vocabulary: ids of the model are below this number.
  /// - Throws: `RequestError` that names the field.
  public init(line: String, vocabulary: Int) throws(RequestError) {
    let json: JSONValue
    do {
      var line = line
      json = try line.withUTF8 {
        try JSONValue(parsing: UnsafeRawBufferPointer($0), source: "request")
      }
    } catch {
      throw RequestError(id: nil, problem: "not a JSON object: \(error)")
    }
    let reader = try RequestReader(json, vocabulary: vocabulary)
    id = reader.id
    switch json["type"]?.string {
    case "loglikelihood":
      try reader.refuseUnknown(["continuation"])
      kind = .likelihood(continuation: try reader.tokens("continuation"), isGreedy: true)
    case "loglikelihood_rolling":
      try reader.refuseUnknown(["tokens"])
      kind = .likelihood(continuation: try reader.tokens("tokens"), isGreedy: false)
    case "generate_until":
      try reader.refuseUnknown(["until", "stop_tokens", "max_new_tokens"])
      kind = .generation(
        until: try reader.texts("until"),
        stopTokens: json["stop_tokens"] == nil ? [] : try reader.tokens("stop_tokens"),
        maximumNewTokens: try reader.count("max_new_tokens"))
    default:
      throw reader.error(
        "type", "expected loglikelihood, loglikelihood_rolling or generate_until")
    }
    context = try reader.tokens("context")
    guard context.count + longestContinuation <= Self.maximumTokens else {
      throw reader.error("context", "more than \(Self.maximumTokens) tokens with what follows")
    }
  }

  private var longestContinuation: Int {
    switch kind {
    case .likelihood(let continuation, _): continuation.count
    case .generation(_, _, let maximum): maximum
    }
  }
}

/// Reads the fields of one request.
private struct RequestReader {
  let id: JSONValue
  private let json: JSONValue
  private let vocabulary: Int

  init(_ json: JSONValue, vocabulary: Int) throws(RequestError) {
    self.json = json
    self.vocabulary = vocabulary
    guard case .object = json else {
      throw RequestError(id: nil, problem: "not a JSON object")
    }
    switch json["id"] {
    case .string(let text)?: id = .string(text)
    case let value? where value.integer(as: Int.self) != nil: id = value
    default: throw RequestError(id: nil, problem: "id: expected a text or an integer")
    }
  }

  func error(_ field: String, _ problem: String) -> RequestError {
    RequestError(id: id, problem: "\(field): \(problem)")
  }

  func refuseUnknown(_ own: [String]) throws(RequestError) {
    let known = ["id", "type", "context"] + own
    guard case .object(let members) = json else { return }
    for member in members where !known.contains(member.name) {
      throw error(member.name, "unknown field; known here: " + known.joined(separator: ", "))
    }
  }

  func tokens(_ field: String) throws(RequestError) -> [Int32] {
    guard let values = json[field]?.array, !values.isEmpty else {
      throw error(field, "expected a list of at least one token id")
    }
    var tokens: [Int32] = []
    tokens.reserveCapacity(values.count)
    for value in values {
      guard let token = value.integer(as: Int32.self), token >= 0, token < vocabulary else {
        throw error(field, "expected token ids from 0 to \(vocabulary - 1)")
      }
      tokens.append(token)
    }
    return tokens
  }

  func texts(_ field: String) throws(RequestError) -> [String] {
    guard let value = json[field] else { return [] }
    let texts = value.array?.compactMap(\.string)
    guard let texts, texts.count == value.array?.count, texts.allSatisfy({ !$0.isEmpty }) else {
      throw error(field, "expected a list of texts that are not empty")
    }
    return texts
  }

  func count(_ field: String) throws(RequestError) -> Int {
    guard let count = json[field]?.integer(as: Int.self),
      (1...ScoringRequest.maximumTokens).contains(count)
    else { throw error(field, "expected an integer from 1 to \(ScoringRequest.maximumTokens)") }
    return count
  }
}
