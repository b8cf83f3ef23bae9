import Fields
import JSON

/// Reads the fields of one object of a `config.json`.
public typealias ConfigReader = FieldReader

extension FieldReader {
  /// The object's members.
  var members: [JSONMember] { entries.map { JSONMember($0.key, $0.value.jsonValue) } }

  /// A complaint that says what was found; an absent value reads `nothing`.
  public func refusal(_ key: String, _ problem: String) -> FieldError {
    invalid(key, "\(problem), found \(value(key)?.summary ?? "nothing")")
  }

  /// A number greater than 0 and at most 1 that is also greater than 0 in single precision.
  public func singlePrecision(
    _ key: String, default standard: Double
  ) throws(FieldError) -> Float {
    let value = Float(try number(key, default: standard, .over(0, atMost: 1)))
    guard value > 0 else { throw refusal(key, "is too small for single precision") }
    return value
  }

  /// Refuses activations other than SiLU, whose names are `known`; absent counts as SiLU.
  public func refuseActivation(
    _ key: String, unless known: [String] = ["silu", "swish"]
  ) throws(FieldError) {
    guard present(key) != nil else { return }
    _ = try word(key, of: known)
  }

  /// Refuses a field that is anything but absent, null, or `harmless`.
  public func refuse(
    _ key: String, unless harmless: FieldValue? = nil, because problem: String
  ) throws(FieldError) {
    guard let value = present(key), value != harmless else { return }
    throw refusal(key, problem)
  }
}
