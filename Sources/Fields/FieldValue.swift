import JSON

/// A value that somebody wrote, before it is decoded: a tree that remembers where each part stands.
///
/// Recipes, configuration and manifest files, requests and options of tasks all become this, so that one
/// reader (`FieldReader`) decodes them. Equality ignores places.
public struct FieldValue: Sendable, Equatable {
  /// The value itself.
  public enum Kind: Sendable, Equatable {
    case null
    case flag(Bool)
    case integer(Int)
    /// Any other number, integers beyond 64 bits among them.
    case number(Double)
    case text(String)
    case list([FieldValue])
    /// Keys are unique and stay in the order in which they were written.
    case mapping([Entry])
  }

  /// One key of a mapping and its value.
  public struct Entry: Sendable, Equatable {
    /// The key as text.
    public var key: String
    /// Its value.
    public var value: FieldValue
    /// Where the key stands (the value may begin on a later line).
    public var place: FieldPlace

    /// Creates an entry.
    public init(_ key: String, _ value: FieldValue, place: FieldPlace? = nil) {
      self.key = key
      self.value = value
      self.place = place ?? value.place
    }

    /// Whether key and value are equal, wherever they stand.
    public static func == (left: Entry, right: Entry) -> Bool {
      left.key == right.key && left.value == right.value
    }
  }

  /// What it is.
  public var kind: Kind
  /// Where it begins.
  public var place: FieldPlace

  /// Creates a value.
  public init(_ kind: Kind, place: FieldPlace = .program) {
    self.kind = kind
    self.place = place
  }

  /// Whether the values are equal, wherever they stand.
  public static func == (left: FieldValue, right: FieldValue) -> Bool { left.kind == right.kind }

  /// Whether there is nothing: `null`, or in YAML `~` or an empty value.
  public var isNull: Bool { kind == .null }

  /// The keys and values of a mapping; none for anything else.
  public var entries: [Entry] {
    if case .mapping(let entries) = kind { entries } else { [] }
  }

  /// The value under a key, if this is a mapping that has it.
  ///
  /// Setting it keeps an existing key's place in the order, and appends a new key.
  public subscript(key: String) -> FieldValue? {
    get { entries.first { $0.key == key }?.value }
    set {
      var entries = entries
      let index = entries.firstIndex { $0.key == key }
      switch (index, newValue) {
      case (let index?, let value?): entries[index].value = value
      case (let index?, nil): entries.remove(at: index)
      case (nil, let value?): entries.append(Entry(key, value))
      case (nil, nil): break
      }
      kind = .mapping(entries)
    }
  }

  /// The value for an error message, for example `the text "fast"`.
  public var summary: String {
    switch kind {
    case .null: "nothing (null)"
    case .flag(let flag): "\(flag)"
    case .integer(let integer): "the integer \(integer)"
    case .number(let number): "the number \(number)"
    case .text(let text): text.count <= 60 ? "the text \"\(text)\"" : "a long text"
    case .list(let elements): "a list of \(elements.count)"
    case .mapping: "a mapping"
    }
  }
}

// MARK: From and to JSON

extension FieldValue {
  /// The value that a JSON document has; every part of it stands in `place`.
  public init(json: JSONValue, place: FieldPlace) {
    let kind: Kind =
      switch json {
      case .null: .null
      case .bool(let flag): .flag(flag)
      case .number(let text): Int(text).map { .integer($0) } ?? .number(Double(text) ?? .nan)
      case .string(let text): .text(text)
      case .array(let elements): .list(elements.map { FieldValue(json: $0, place: place) })
      case .object(let members):
        .mapping(
          members.map { Entry($0.name, FieldValue(json: $0.value, place: place), place: place) })
      }
    self.init(kind, place: place)
  }

  /// The value in JSON's terms.
  public var jsonValue: JSONValue {
    switch kind {
    case .null: .null
    case .flag(let flag): .bool(flag)
    case .integer(let integer): .integer(integer)
    case .number(let number): JSONValue(number)
    case .text(let text): .string(text)
    case .list(let elements): .array(elements.map(\.jsonValue))
    case .mapping(let entries):
      .object(entries.map { JSONMember($0.key, $0.value.jsonValue) })
    }
  }
}

// MARK: Written by the program

extension FieldValue {
  /// A mapping; entries whose value is nil are left out.
  public static func mapping(_ entries: [(String, FieldValue?)]) -> FieldValue {
    FieldValue(.mapping(entries.compactMap { key, value in value.map { Entry(key, $0) } }))
  }

  /// A whole number.
  public static func integer(_ value: Int) -> FieldValue { FieldValue(.integer(value)) }
  /// A number.
  public static func number(_ value: Double) -> FieldValue { FieldValue(.number(value)) }
  /// `true` or `false`.
  public static func flag(_ value: Bool) -> FieldValue { FieldValue(.flag(value)) }
  /// Text.
  public static func text(_ value: String) -> FieldValue { FieldValue(.text(value)) }
  /// A list.
  public static func list(_ values: [FieldValue]) -> FieldValue { FieldValue(.list(values)) }
}

extension FieldValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  /// A whole number.
  public init(integerLiteral value: Int) { self.init(.integer(value)) }
  /// A number.
  public init(floatLiteral value: Double) { self.init(.number(value)) }
  /// `true` or `false`.
  public init(booleanLiteral value: Bool) { self.init(.flag(value)) }
  /// Text.
  public init(stringLiteral value: String) { self.init(.text(value)) }
  /// A list.
  public init(arrayLiteral elements: FieldValue...) { self.init(.list(elements)) }
  /// A mapping with its keys in this order.
  public init(dictionaryLiteral elements: (String, FieldValue)...) {
    self.init(.mapping(elements.map { Entry($0, $1) }))
  }
}
