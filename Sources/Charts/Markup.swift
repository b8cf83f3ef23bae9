/// A text as it stands in an element or a quoted attribute of HTML and SVG.
///
/// Characters that XML does not allow become U+FFFD.
public func escaped(_ text: String) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": result += "&amp;"
    case "<": result += "&lt;"
    case ">": result += "&gt;"
    case "\"": result += "&quot;"
    case "\n", "\t", "\r": result += " "
    case _ where scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF:
      result += "\u{FFFD}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// A coordinate: to the hundredth, without zeros at its end; what is no place at all is 0.
func coordinate(_ value: Double) -> String {
  guard value.isFinite else { return "0" }
  let hundredths = Int((min(max(value, -1e6), 1e6) * 100).rounded())
  let (whole, rest) = (hundredths.magnitude / 100, hundredths.magnitude % 100)
  let sign = hundredths < 0 ? "-" : ""
  if rest == 0 { return "\(sign)\(whole)" }
  let digits = rest % 10 == 0 ? "\(rest / 10)" : rest < 10 ? "0\(rest)" : "\(rest)"
  return "\(sign)\(whole).\(digits)"
}

/// The width of a text of 12 pixels, estimated from above for the usual fonts.
func textWidth(_ text: String) -> Double { Double(text.count) * 6.8 }

/// A text of at most `limit` characters, its middle left out where it is longer.
func shortened(_ text: String, to limit: Int) -> String {
  guard text.count > limit else { return text }
  let tail = (limit - 1) / 3
  return text.prefix(limit - 1 - tail) + "\u{2026}" + text.suffix(tail)
}

/// A name of lower-case ASCII letters, digits and hyphens, for files and ids.
public func slug(_ text: String) -> String {
  let kept = text.unicodeScalars.map { scalar in
    scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
      ? Character(scalar) : "-"
  }
  return String(kept).lowercased().split(separator: "-").joined(separator: "-")
}
