import JSON

/// Reads typed, checked fields out of one object of a configuration file.
///
/// Every failure names the file, the field with its path, and the value found.
public struct ConfigReader {
  /// The file's path, for messages.
  let file: String
  /// What stands before a field's name in messages, for example `statex.layers.0.`.
  var path = ""
  /// The object's members.
  public let object: [JSONMember]

  /// The error for a field; an absent field's value reads `missing`.
  public func error(_ field: String, _ problem: String) -> InteropError {
    .configuration(
      file: file, field: path + field, value: object[field]?.summary ?? "missing", problem: problem)
  }

  /// The field, with `null` counting as absent.
  private func present(_ field: String) -> JSONValue? {
    guard let value = object[field], value != .null else { return nil }
    return value
  }

  /// An integer or null; absent counts as null.
  public func optionalInteger(
    _ field: String, in range: ClosedRange<Int>
  ) throws(InteropError) -> Int? {
    guard let value = present(field) else { return nil }
    guard let integer = value.integer() else {
      throw error(field, "expected an integer")
    }
    guard range.contains(integer) else {
      throw error(field, "must be from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  /// An integer, `fallback` when the field is absent.
  public func integer(
    _ field: String, default fallback: Int, in range: ClosedRange<Int>
  ) throws(InteropError) -> Int {
    guard object[field] != nil else { return fallback }
    guard let integer = try optionalInteger(field, in: range) else {
      throw error(field, "expected an integer")
    }
    return integer
  }

  /// An integer that the configuration cannot do without.
  public func requiredInteger(
    _ field: String, in range: ClosedRange<Int>
  ) throws(InteropError) -> Int {
    guard let integer = try optionalInteger(field, in: range) else {
      throw error(field, "expected an integer")
    }
    return integer
  }

  /// A finite number or null; absent counts as null.
  public func optionalNumber(_ field: String) throws(InteropError) -> Double? {
    guard let value = present(field) else { return nil }
    guard let number = value.double else { throw error(field, "expected a number") }
    guard number.isFinite else { throw error(field, "must be finite") }
    return number
  }

  /// A finite number greater than zero, at most `limit`; `fallback` when the field is absent.
  public func positiveNumber(
    _ field: String, default fallback: Double, atMost limit: Double
  ) throws(InteropError) -> Double {
    guard object[field] != nil else { return fallback }
    guard let number = try optionalNumber(field) else { throw error(field, "expected a number") }
    guard number > 0, number <= limit else {
      throw error(field, "must be greater than 0 and at most \(limit)")
    }
    return number
  }

  /// A truth value, `fallback` when the field is absent.
  public func flag(_ field: String, default fallback: Bool) throws(InteropError) -> Bool {
    guard let value = object[field] else { return fallback }
    guard case .bool(let flag) = value else { throw error(field, "expected true or false") }
    return flag
  }

  /// A string or null; absent counts as null.
  public func optionalText(_ field: String) throws(InteropError) -> String? {
    guard let value = present(field) else { return nil }
    guard case .string(let text) = value else { throw error(field, "expected a string") }
    return text
  }

  /// A number greater than 0 and at most 1 that is also greater than 0 in single precision.
  public func singlePrecision(
    _ field: String, default fallback: Double
  ) throws(InteropError) -> Float {
    let value = Float(try positiveNumber(field, default: fallback, atMost: 1))
    guard value > 0 else { throw error(field, "too small for single precision") }
    return value
  }

  /// Refuses activations other than SiLU, whose names are `known`; absent counts as SiLU.
  public func refuseActivation(
    _ field: String, unless known: [String] = ["silu", "swish"]
  ) throws(InteropError) {
    guard let activation = try optionalText(field), !known.contains(activation) else { return }
    throw error(field, "not supported; supported: " + known.joined(separator: ", "))
  }

  /// A nested object or null; absent counts as null.
  public func optionalObject(_ field: String) throws(InteropError) -> ConfigReader? {
    guard let value = present(field) else { return nil }
    guard case .object(let nested) = value else { throw error(field, "expected an object") }
    return ConfigReader(file: file, path: path + field + ".", object: nested)
  }

  /// Refuses a field that is anything but absent, null, or `harmless`.
  public func refuse(
    _ field: String, unless harmless: JSONValue? = nil, because problem: String
  ) throws(InteropError) {
    guard let value = present(field), value != harmless else { return }
    throw error(field, problem)
  }

  /// Refuses keys that are not in `known`.
  public func refuseUnknownKeys(known: [String]) throws(InteropError) {
    for member in object where !known.contains(member.name) {
      throw error(
        member.name, "unknown key; known here: " + known.joined(separator: ", "))
    }
  }
}
