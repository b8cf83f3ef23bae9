import ErrorReporting
import Fields
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

  /// Identifies the answer: a text or an integer, returned unchanged.
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

  /// Names the request and its problem, which becomes one line.
  public init(id: JSONValue?, problem: String) {
    self.id = id
    self.problem = singleLine(problem)
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
    guard case .object = json else {
      throw RequestError(id: nil, problem: "not a JSON object")
    }
    let id: JSONValue
    switch json["id"] {
    case .string(let text)?: id = .string(text)
    case let value? where value.integer(as: Int.self) != nil: id = value
    default: throw RequestError(id: nil, problem: "request: `id`: expected a text or an integer")
    }
    do throws(FieldError) {
      let reader = try FieldReader(FieldValue(json: json, place: .source("request")), keys: nil)
      try self.init(id: id, reader, vocabulary: vocabulary)
    } catch {
      throw RequestError(id: id, problem: error.description)
    }
  }

  private enum Word: String, CaseIterable {
    case likelihood = "loglikelihood"
    case rolling = "loglikelihood_rolling"
    case generation = "generate_until"
  }

  private init(
    id: JSONValue, _ reader: FieldReader, vocabulary: Int
  ) throws(FieldError) {
    let shared = ["id", "type", "context"]
    self.id = id
    switch try reader.choice("type") as Word {
    case .likelihood:
      try reader.refuse(except: shared + ["continuation"])
      kind = .likelihood(
        continuation: try reader.tokens("continuation", below: vocabulary), isGreedy: true)
    case .rolling:
      try reader.refuse(except: shared + ["tokens"])
      kind = .likelihood(
        continuation: try reader.tokens("tokens", below: vocabulary), isGreedy: false)
    case .generation:
      try reader.refuse(except: shared + ["until", "stop_tokens", "max_new_tokens"])
      kind = .generation(
        until: try reader.texts("until", default: []),
        stopTokens: reader.value("stop_tokens") == nil
          ? [] : try reader.tokens("stop_tokens", below: vocabulary),
        maximumNewTokens: try reader.integer(
          "max_new_tokens", .between(1, Self.maximumTokens)))
    }
    context = try reader.tokens("context", below: vocabulary)
    guard context.count + longestContinuation <= Self.maximumTokens else {
      throw reader.invalid(
        "context", "more than \(Self.maximumTokens) tokens with what follows")
    }
  }

  private var longestContinuation: Int {
    switch kind {
    case .likelihood(let continuation, _): continuation.count
    case .generation(_, _, let maximum): maximum
    }
  }
}

extension FieldReader {
  /// A list of at least one token id.
  fileprivate func tokens(_ key: String, below vocabulary: Int) throws(FieldError) -> [Int32] {
    let tokens = try integers(key, .between(0, vocabulary - 1))
    guard !tokens.isEmpty else { throw invalid(key, "expected at least one token id") }
    return tokens.map(Int32.init)
  }
}
