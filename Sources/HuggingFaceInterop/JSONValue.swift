/// A JSON value that remembers the order of its keys and the spelling of its numbers.
///
/// An export writes back what an import read, so `0.5` stays `0.5`, a 64-bit integer keeps all its
/// digits, and `Infinity` (not JSON, but written by Python's `json` and found in real `config.json`
/// files) survives.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case number(JSONNumber)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// An integer.
  public init(_ value: Int) { self = .number(JSONNumber(value)) }

  /// A floating-point number in its shortest exact spelling.
  public init(_ value: Double) { self = .number(JSONNumber(value)) }

  /// A single-precision number in the shortest spelling that gives back the same `Float`.
  public init(_ value: Float) { self = .number(JSONNumber(value)) }

  /// The members, when this is an object.
  public var object: JSONObject? {
    guard case .object(let object) = self else { return nil }
    return object
  }

  /// The text, when this is a string.
  public var string: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  /// The value on one line, shortened to about 60 characters, for error messages.
  var summary: String {
    let text = serialized(indentation: nil)
    return text.count <= 60 ? text : text.prefix(57) + "..."
  }
}

/// A number as it was spelt.
public struct JSONNumber: Sendable, Equatable {
  /// The characters in the file, for example `1e-06` or `-Infinity`.
  public let literal: String

  init(literal: String) { self.literal = literal }

  /// An integer.
  public init(_ value: Int) { literal = String(value) }

  /// A floating-point number; infinities and NaN are spelt as Python spells them.
  public init(_ value: Double) {
    literal = value.isFinite ? value.description : Self.nonFinite(value)
  }

  /// A single-precision number, spelt as shortly as single precision allows.
  public init(_ value: Float) {
    literal = value.isFinite ? value.description : Self.nonFinite(Double(value))
  }

  /// The value when it is spelt as an integer (`4`, not `4.0`) and fits.
  public var integer: Int? { Int(literal) }

  /// The nearest double.
  public var double: Double {
    switch literal {
    case "Infinity": .infinity
    case "-Infinity": -.infinity
    case "NaN": .nan
    default: Double(literal) ?? .nan
    }
  }

  private static func nonFinite(_ value: Double) -> String {
    value.isNaN ? "NaN" : value > 0 ? "Infinity" : "-Infinity"
  }
}

/// An object's members in file order, each key once.
public struct JSONObject: Sendable, Equatable {
  /// A key with its value.
  public struct Member: Sendable, Equatable {
    public let key: String
    public fileprivate(set) var value: JSONValue
  }

  /// The members in order.
  public private(set) var members: [Member] = []
  private var indices: [String: Int] = [:]

  public init() {}

  /// The value of a key. Setting keeps an existing key's place and appends a new one; setting nil
  /// removes the key.
  public subscript(key: String) -> JSONValue? {
    get { indices[key].map { members[$0].value } }
    set {
      switch (indices[key], newValue) {
      case (let index?, let value?):
        members[index].value = value
      case (let index?, nil):
        members.remove(at: index)
        indices = Dictionary(
          uniqueKeysWithValues: members.enumerated().map { ($0.element.key, $0.offset) })
      case (nil, let value?):
        indices[key] = members.count
        members.append(Member(key: key, value: value))
      case (nil, nil):
        break
      }
    }
  }

  /// The same members in the same order.
  public static func == (first: JSONObject, second: JSONObject) -> Bool {
    first.members == second.members
  }
}
