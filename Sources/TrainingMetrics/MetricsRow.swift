import Foundation
import JSON

/// What is logged for one optimizer step.
public struct MetricsRow: Sendable, Equatable {
  /// The step, counted from 1.
  public var step: Int
  /// Mean loss over the step's weighted targets, in nats per token.
  public var loss: Double
  /// Global gradient norm before clipping.
  public var gradientNorm: Double
  /// Learning rate of the step.
  public var learningRate: Double
  /// Tokens trained on since the run began, this step included.
  public var tokens: Int
  /// Tokens per second over the recent steps, all ranks together.
  public var tokensPerSecond: Double
  /// Duration of the step in seconds.
  public var seconds: Double
  /// Further numbers, logged in this order under their names.
  public var extras: [(name: String, value: Double)]

  /// Creates a row.
  public init(
    step: Int, loss: Double, gradientNorm: Double, learningRate: Double, tokens: Int,
    tokensPerSecond: Double, seconds: Double, extras: [(name: String, value: Double)] = []
  ) {
    self.step = step
    self.loss = loss
    self.gradientNorm = gradientNorm
    self.learningRate = learningRate
    self.tokens = tokens
    self.tokensPerSecond = tokensPerSecond
    self.seconds = seconds
    self.extras = extras
  }

  /// Whether every number is equal; NaN counts as equal to itself, as in the JSON text.
  public static func == (left: MetricsRow, right: MetricsRow) -> Bool { left.json == right.json }

  /// The named numbers in the order in which they are logged; `tokens` as a number too.
  public var scalars: [(name: String, value: Double)] {
    [
      ("loss", loss), ("grad_norm", gradientNorm), ("lr", learningRate),
      ("tokens", Double(tokens)), ("tokens_per_second", tokensPerSecond), ("seconds", seconds),
    ] + extras
  }

  /// The row as one JSON object on one line.
  ///
  /// Numbers are printed with the fewest digits that read back to the same bits, so equal text means
  /// equal numbers. JSON has no NaN and no infinity: such a number is `null`, and a last key
  /// `nonfinite` tells which it was, for example `{"loss": "nan"}`.
  public var json: String {
    var members = [JSONMember("step", .integer(step))]
    var nonfinite: [JSONMember] = []
    for (name, value) in scalars {
      members.append(JSONMember(name, name == "tokens" ? .integer(tokens) : JSONValue(value)))
      if !value.isFinite { nonfinite.append(JSONMember(name, JSONValue(orText: value))) }
    }
    if !nonfinite.isEmpty { members.append(JSONMember("nonfinite", .object(nonfinite))) }
    return String(members.line.dropLast())
  }

  /// The step that a line begins with; nil if the line is torn or not a row.
  static func step(ofLine line: some BidirectionalCollection<UInt8>) -> Int? {
    guard line.first == UInt8(ascii: "{"), line.last == UInt8(ascii: "}") else { return nil }
    let fields = line.dropFirst().drop { $0 == UInt8(ascii: " ") }
    let key = "\"step\": ".utf8
    guard fields.starts(with: key) else { return nil }
    let digits = fields.dropFirst(key.count).prefix { (0x30...0x39).contains($0) }
    return Int(String(decoding: digits, as: UTF8.self))
  }
}
