/// The values that a number may have; its description completes "must be ...".
public enum FieldRange<Number: Comparable & Sendable>: Sendable, CustomStringConvertible {
  /// All of its type.
  case any
  /// From a lower end on.
  case atLeast(Number)
  /// Above a lower end.
  case above(Number)
  /// Both ends included.
  case between(Number, Number)
  /// Lower end included, upper end not.
  case from(Number, below: Number)
  /// Lower end not included, upper end included.
  case over(Number, atMost: Number)

  /// Whether the range has the value; no range but `any` has NaN.
  public func contains(_ value: Number) -> Bool {
    switch self {
    case .any: true
    case .atLeast(let low): value >= low
    case .above(let low): value > low
    case .between(let low, let high): value >= low && value <= high
    case .from(let low, let high): value >= low && value < high
    case .over(let low, let high): value > low && value <= high
    }
  }

  /// The range in a table.
  public var shortDescription: String {
    switch self {
    case .any: ""
    case .atLeast(let low): ">= \(Self.plain(low))"
    case .above(let low): "> \(Self.plain(low))"
    case .between(let low, let high): "\(Self.plain(low)) to \(Self.plain(high))"
    case .from(let low, let high): ">= \(Self.plain(low)) and < \(Self.plain(high))"
    case .over(let low, let high): "> \(Self.plain(low)) and <= \(Self.plain(high))"
    }
  }

  /// The range in an error.
  public var description: String {
    switch self {
    case .any: "a number"
    case .atLeast(let low): "at least \(low)"
    case .above(let low): "above \(low)"
    case .between(let low, let high): "between \(low) and \(high)"
    case .from(let low, let high): "at least \(low) and below \(high)"
    case .over(let low, let high): "above \(low) and at most \(high)"
    }
  }

  private static func plain(_ number: Number) -> String {
    let text = "\(number)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
