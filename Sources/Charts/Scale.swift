import Foundation

/// A map from values to places along an axis, with the values that are marked on it.
public struct Scale: Sendable, Equatable {
  /// How places follow values.
  public enum Kind: Sendable, Equatable {
    /// Equal differences are equal distances.
    case linear
    /// Equal ratios are equal distances; values are above zero.
    case logarithmic
  }

  /// How places follow values.
  public let kind: Kind
  /// The values at both ends; the first is below the second.
  public let domain: ClosedRange<Double>
  /// The places of both ends.
  public let ends: (first: Double, last: Double)
  /// The marked values, ascending.
  public let ticks: [Double]

  /// Whether everything is equal.
  public static func == (a: Scale, b: Scale) -> Bool {
    a.kind == b.kind && a.domain == b.domain && a.ends == b.ends && a.ticks == b.ticks
  }

  /// A scale over values.
  ///
  /// A linear scale reaches to marks below and above them. Values that a scale cannot have (not finite, or not
  /// above zero on a logarithmic one) do not count, nor do those beyond 1e300; without any it shows 0 to 1, or 1 to 10.
  /// Of a linear scale, values within 1e-300 are zero.
  ///
  /// - Parameters:
  ///   - values: what it has to hold.
  ///   - kind: how places follow values.
  ///   - ends: the places of both ends.
  ///   - most: about how many values are marked.
  ///   - isTight: whether it ends where the values end.
  public init(
    over values: [Double], _ kind: Kind = .linear, ends: (first: Double, last: Double),
    ticks most: Int = 5, isTight: Bool = false
  ) {
    self.kind = kind
    self.ends = ends
    let usable = values.filter { abs($0) < 1e300 && (kind == .linear || $0 > 1e-300) }
      .map { abs($0) > 1e-300 ? $0 : 0 }
    var (low, high) = (usable.min() ?? (kind == .linear ? 0 : 1), usable.max() ?? 1)
    if usable.isEmpty, kind == .logarithmic { high = 10 }
    switch kind {
    case .linear:
      if high - low <= 1e-12 * max(abs(low), abs(high)) {
        let room = low == 0 ? 1 : abs(low) * 0.1
        (low, high) = (low == 0 ? 0 : low - room, high + room)
      }
      let step = Self.step(high - low, most)
      if !isTight { (low, high) = ((low / step).rounded(.down), (high / step).rounded(.up)) }
      if !isTight { (low, high) = (low * step, high * step) }
      domain = low...high
      ticks = Self.multiples(of: step, in: domain)
    case .logarithmic:
      if high / low < 1.2 { (low, high) = (low / 1.5, high * 1.5) }
      domain = low...high
      ticks = Self.powers(in: domain, most)
    }
  }

  /// A scale from its parts.
  public init(
    _ kind: Kind = .linear, _ domain: ClosedRange<Double>, ends: (first: Double, last: Double),
    ticks: [Double]
  ) {
    (self.kind, self.domain, self.ends, self.ticks) = (kind, domain, ends, ticks)
  }

  /// The place of a value; outside of the domain it is beyond the ends.
  public func position(_ value: Double) -> Double {
    ends.first + share(value) * (ends.last - ends.first)
  }

  /// The place of a value, at an end where it lies outside.
  public func clamped(_ value: Double) -> Double {
    ends.first + min(max(share(value), 0), 1) * (ends.last - ends.first)
  }

  /// How far from the first end to the last a value lies: 0 at the first, 1 at the last.
  private func share(_ value: Double) -> Double {
    let (low, high) = (domain.lowerBound, domain.upperBound)
    switch kind {
    case .linear: return (value - low) / (high - low)
    case .logarithmic:
      return value > 0 ? (log(value) - log(low)) / (log(high) - log(low)) : -.infinity
    }
  }

  // MARK: Marks

  /// The smallest of 1, 2 and 5 times a power of ten that divides a span at most `most` times.
  static func step(_ span: Double, _ most: Int) -> Double {
    let least = span / Double(most)
    let power = pow(10, log10(least).rounded(.down))
    return ([1, 2, 5].first { $0 * power >= least * (1 - 1e-9) } ?? 10) * power
  }

  private static func multiples(of step: Double, in domain: ClosedRange<Double>) -> [Double] {
    let slack = 1e-9
    let first = (domain.lowerBound / step - slack).rounded(.up)
    let last = (domain.upperBound / step + slack).rounded(.down)
    guard first <= last else { return [] }
    // Adding 0 makes of minus zero zero.
    return (0...Int(last - first)).map { (first + Double($0)) * step + 0 }
  }

  /// Powers of ten, thinned; where there are few of them, also 2 and 5 times them; else multiples.
  private static func powers(in domain: ClosedRange<Double>, _ most: Int) -> [Double] {
    let first = Int(log10(domain.lowerBound).rounded(.down))
    let last = Int(log10(domain.upperBound).rounded(.up))
    let inside = { (value: Double) in
      value >= domain.lowerBound * (1 - 1e-9) && value <= domain.upperBound * (1 + 1e-9)
    }
    let tens = (first...last).map { pow(10, Double($0)) }
    let decades = tens.filter(inside)
    if decades.count > most {
      let every = (decades.count + most - 1) / most
      return decades.enumerated().filter { $0.offset % every == 0 }.map(\.element)
    }
    if decades.count >= 3 { return decades }
    let finer = tens.flatMap { ten in [1, 2, 5].map { $0 * ten } }.filter(inside)
    if finer.count >= 3 { return finer }
    return multiples(of: step(domain.upperBound - domain.lowerBound, most), in: domain)
  }
}
