import ErrorReporting
import Fields

/// A length of time as recipes write it: a whole number and its unit, `90s`, `30min`, `12h` or `2d`.
public struct RecipeDuration: Sendable, Equatable, Comparable, CustomStringConvertible {
  /// Its seconds, at least 1.
  public let seconds: Int

  private static let units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)]
  /// A hundred years: sums of a few durations fit in 64 bits whatever they are counted in.
  private static let longest = 100 * 366 * 86_400

  /// That many seconds.
  ///
  /// - Precondition: at least 1 and at most a hundred years.
  public init(seconds: Int) {
    require((1...Self.longest).contains(seconds), "\(seconds) seconds are no duration")
    self.seconds = seconds
  }

  /// The duration that a text names; nil if it names none, zero, or more than a hundred years.
  public init?(_ text: String) {
    guard let (unit, factor) = Self.units.first(where: { text.hasSuffix($0.0) }),
      let count = Int(text.dropLast(unit.count)), text.first?.isWholeNumber == true
    else { return nil }
    let (seconds, overflow) = count.multipliedReportingOverflow(by: factor)
    guard !overflow, (1...Self.longest).contains(seconds) else { return nil }
    self.seconds = seconds
  }

  /// The shortest text that names it exactly.
  public var description: String {
    let (unit, factor) = Self.units.first { seconds.isMultiple(of: $0.1) } ?? ("s", 1)
    return "\(seconds / factor)\(unit)"
  }

  /// Whether it is shorter.
  public static func < (left: RecipeDuration, right: RecipeDuration) -> Bool {
    left.seconds < right.seconds
  }
}

extension Field {
  /// A length of time, or `off`.
  ///
  /// - Parameters:
  ///   - key: its name.
  ///   - place: where it is kept; nil is `off`.
  ///   - standard: its default for a person.
  ///   - least: the shortest that is allowed.
  ///   - meaning: what it means.
  /// - Returns: the field.
  static func duration(
    _ key: String, _ place: WritableKeyPath<Section, RecipeDuration?>, standard: String,
    least: RecipeDuration = RecipeDuration(seconds: 1), _ meaning: String
  ) -> Field {
    let description = FieldKey(
      path: key, type: "duration such as `90s`, `30min`, `12h`, `2d`; or `off`",
      standard: standard, range: ">= \(least)", meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      guard let value = reader.value(key) else { return }
      if value.kind == .text("off") {
        section[keyPath: place] = nil
        return
      }
      guard case .text(let text) = value.kind, let duration = RecipeDuration(text) else {
        throw reader.wrongType(
          key, value, expected: "a duration such as 90s, 30min, 12h or 2d, or off")
      }
      guard duration >= least else {
        throw reader.invalid(key, "must be at least \(least), found \(duration)")
      }
      section[keyPath: place] = duration
    } write: {
      .text($0[keyPath: place]?.description ?? "off")
    }
  }
}
