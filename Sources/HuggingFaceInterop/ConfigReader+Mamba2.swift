import JSON

extension ConfigReader {
  /// Bounds of the time steps `[low, high]`; absent or null counts as unlimited.
  ///
  /// Infinity may be the bare word that Python's `json` writes, the object that transformers 5 writes
  /// (`{"__float__": "Infinity"}`), or a string such as `inf` or `float("inf")`.
  func timeStepLimit(_ field: String) throws(InteropError) -> ClosedRange<Float> {
    guard let value = object[field], value != .null else { return 0...Float.infinity }
    guard let bounds = value.array, bounds.count == 2 else {
      throw error(field, "expected a list of two numbers, the lower and the upper bound")
    }
    guard let low = Self.number(bounds[0]), let high = Self.number(bounds[1]) else {
      throw error(field, "expected two numbers; infinity is written Infinity or \"inf\"")
    }
    guard low >= 0, low.isFinite, high > 0, low <= high else {
      throw error(field, "expected 0 <= lower <= upper, and upper > 0")
    }
    return Float(low)...Float(high)
  }

  /// A number or infinity in any of its spellings.
  private static func number(_ value: JSONValue) -> Double? {
    switch value {
    case .number: return value.double
    case .object: return value["__float__"]?.string.flatMap(infinity)
    case .string(let text): return infinity(text)
    case .null, .bool, .array: return nil
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
