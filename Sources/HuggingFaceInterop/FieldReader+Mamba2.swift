import Fields

extension FieldReader {
  /// Bounds of the time steps `[low, high]`; absent or null counts as unlimited.
  ///
  /// Infinity may be the bare word that Python's `json` writes, the object that transformers 5 writes
  /// (`{"__float__": "Infinity"}`), or a string such as `inf` or `float("inf")`.
  func timeStepLimit(_ key: String) throws(FieldError) -> ClosedRange<Float> {
    guard let value = present(key) else { return 0...Float.infinity }
    guard case .list(let bounds) = value.kind, bounds.count == 2 else {
      throw refusal(key, "expected a list of two numbers, the lower and the upper bound")
    }
    guard let low = Self.number(bounds[0]), let high = Self.number(bounds[1]) else {
      throw refusal(key, "expected two numbers; infinity is written Infinity or \"inf\"")
    }
    guard low >= 0, low.isFinite, high > 0, low <= high else {
      throw refusal(key, "expected 0 <= lower <= upper, and upper > 0")
    }
    return Float(low)...Float(high)
  }

  /// A number or infinity in any of its spellings.
  private static func number(_ value: FieldValue) -> Double? {
    switch value.kind {
    case .integer(let integer): return Double(integer)
    case .number(let number): return number
    case .text(let text): return infinity(text)
    case .mapping:
      guard case .text(let text)? = value["__float__"]?.kind else { return nil }
      return infinity(text)
    case .null, .flag, .list: return nil
    }
  }

  private static func infinity(_ text: String) -> Double? {
    var word = text.lowercased().filter { !" \"'".contains($0) }
    if word.hasPrefix("float("), word.hasSuffix(")") {
      word = String(word.dropFirst("float(".count).dropLast())
    }
    return ["inf", "+inf", "infinity", "+infinity", ".inf"].contains(word) ? .infinity : nil
  }
}
