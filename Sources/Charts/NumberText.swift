import Foundation

/// Numbers as people read them.
public enum NumberText {
  /// A whole number with a comma before every three digits.
  public static func grouped(_ value: Int) -> String {
    let digits = String(value.magnitude)
    var result = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { result.append(",") }
      result.append(digit)
    }
    return (value < 0 ? "-" : "") + result
  }

  /// A number rounded to a whole one, with a comma before every three digits; short where it is beyond 64 bits.
  public static func grouped(_ value: Double) -> String {
    abs(value) < 0x1p62 ? grouped(Int(value.rounded())) : short(value)
  }

  /// A number of at most `digits` significant digits, large ones with k, M, G or T: `1.5 M`.
  public static func short(_ value: Double, digits: Int = 3) -> String {
    guard value.isFinite else { return "\(value)" }
    guard value != 0 else { return "0" }
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")]
    // A number that is rounded up to the next unit takes that unit.
    let rounded = Double(String(format: "%.\(digits - 1)e", value)) ?? value
    let (factor, unit) = units.first { abs(rounded) >= $0.0 } ?? (1, "")
    guard factor > 1 || abs(value) >= 1e-3 else {
      return compactExponent(String(format: "%.\(digits - 1)e", value))
    }
    return plain(rounded / factor, digits: digits) + unit
  }

  /// A number without exponent, of at most `digits` significant digits.
  private static func plain(_ value: Double, digits: Int) -> String {
    let whole = Int(log10(abs(value)).rounded(.down)) + 1
    let text = String(format: "%.\(max(digits - whole, 0))f", value)
    guard text.contains(".") else { return text }
    return trimmed(text)
  }

  private static func trimmed(_ text: String) -> String {
    var text = Substring(text)
    while text.last == "0" { text.removeLast() }
    if text.last == "." { text.removeLast() }
    return String(text)
  }

  /// `1.50e-05` as `1.5e-5`.
  private static func compactExponent(_ text: String) -> String {
    let parts = text.split(separator: "e")
    guard parts.count == 2, let exponent = Int(parts[1]) else { return text }
    let head = parts[0].contains(".") ? trimmed(String(parts[0])) : String(parts[0])
    return "\(head)e\(exponent)"
  }

  /// A share in percent, with a decimal.
  public static func percent(_ share: Double) -> String { String(format: "%.1f", 100 * share) }

  /// A number with that many decimals.
  public static func fixed(_ value: Double, _ decimals: Int) -> String {
    String(format: "%.\(decimals)f", value)
  }

  /// Seconds as people say them: `12 s`, `3.5 min`, `2.1 h`.
  public static func duration(_ seconds: Double) -> String {
    switch seconds {
    case ..<90: "\(short(seconds, digits: 2)) s"
    case ..<5400: String(format: "%.1f min", seconds / 60)
    default: String(format: "%.1f h", seconds / 3600)
    }
  }
}
