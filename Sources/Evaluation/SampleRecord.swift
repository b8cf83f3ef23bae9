import JSON

/// What one sample gave: what ranks tell each other, and a line of the sample log.
public struct SampleRecord: Sendable, Equatable {
  /// A metric's value of one sample.
  public struct Score: Sendable, Equatable {
    /// The metric's name.
    public let metric: String
    /// Its value.
    public let value: Double

    /// Names both.
    public init(_ metric: String, _ value: Double) {
      self.metric = metric
      self.value = value
    }
  }

  /// What the model was given.
  public struct Prompt: Sendable, Equatable {
    /// The last characters of the text.
    public let end: String
    /// Its tokens.
    public let tokens: Int
    /// Its UTF-8 bytes.
    public let bytes: Int

    /// Describes a prompt; `keptCharacters` of its text are kept.
    public init(_ text: String, tokens: Int) {
      self.init(
        end: String(text.suffix(Self.keptCharacters)), tokens: tokens, bytes: text.utf8.count)
    }

    init(end: String, tokens: Int, bytes: Int) {
      (self.end, self.tokens, self.bytes) = (end, tokens, bytes)
    }

    /// Characters of a prompt that are kept.
    static let keptCharacters = 200
  }

  /// The sample's number, or its `id` in a task's file.
  public let id: JSONValue
  /// The metrics' values; empty for a sample without a position that counts.
  public var scores: [Score]
  /// What the model was given, as text.
  public var prompt: Prompt?
  /// What it generated or chose.
  public var prediction: String?
  /// Where the needle lies, between 0 and 1; nil where the task has none.
  public var depth: Double?
  /// Nats by `PositionBins`; empty where the loss by position is not measured.
  public var binNLL: [Double] = []
  /// Nats of each token; empty unless asked for.
  public var tokenNLL: [Float] = []

  /// A sample with scores only.
  public init(id: JSONValue, scores: [Score] = []) {
    self.id = id
    self.scores = scores
  }

  /// The value of a metric; nil where the sample has none.
  public func score(_ metric: String) -> Double? { scores.first { $0.metric == metric }?.value }
}

// MARK: As JSON

extension SampleRecord {
  /// The members of the sample's line.
  ///
  /// Numbers have the fewest digits that give the same bits, so reading a line gives the same record; those that are
  /// not finite are `null` and read as NaN.
  var members: [JSONMember] {
    var members = [JSONMember("id", id)]
    members.append(
      JSONMember("scores", .object(scores.map { JSONMember($0.metric, JSONValue($0.value)) })))
    if let depth { members.append(JSONMember("depth", JSONValue(depth))) }
    if let prompt {
      members.append(JSONMember("prompt_tokens", .integer(prompt.tokens)))
      members.append(JSONMember("prompt_bytes", .integer(prompt.bytes)))
      members.append(JSONMember("prompt_end", .string(prompt.end)))
    }
    if let prediction { members.append(JSONMember("prediction", .string(prediction))) }
    if !binNLL.isEmpty {
      members.append(JSONMember("bin_nll", .array(binNLL.map { JSONValue($0) })))
    }
    if !tokenNLL.isEmpty {
      members.append(JSONMember("token_nll", .array(tokenNLL.map { JSONValue($0) })))
    }
    return members
  }

  /// Reads a sample's line; nil for something else.
  init?(_ json: JSONValue) {
    guard let id = json["id"], case .object(let scores)? = json["scores"] else { return nil }
    self.init(id: id)
    for score in scores {
      guard let value = score.value.doubleOrNaN else { return nil }
      self.scores.append(Score(score.name, value))
    }
    depth = json["depth"]?.double
    prediction = json["prediction"]?.string
    if let end = json["prompt_end"]?.string {
      guard let tokens = json["prompt_tokens"]?.integer(as: Int.self),
        let bytes = json["prompt_bytes"]?.integer(as: Int.self)
      else { return nil }
      prompt = Prompt(end: end, tokens: tokens, bytes: bytes)
    }
    binNLL = json["bin_nll"]?.array?.compactMap(\.doubleOrNaN) ?? []
    tokenNLL =
      json["token_nll"]?.array?.compactMap { value in
        if case .number(let text) = value { Float(text) } else { value == .null ? .nan : nil }
      } ?? []
  }
}

extension JSONValue {
  /// Reads one line of JSON; nil for something else.
  init?(line: some Collection<UInt8>) {
    let value = Array(line).withUnsafeBytes { try? JSONValue(parsing: $0, source: "line") }
    guard let value else { return nil }
    self = value
  }
}
