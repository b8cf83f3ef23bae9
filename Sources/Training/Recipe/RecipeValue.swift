/// A piece of a recipe before it is decoded: a YAML value that remembers where it was written.
///
/// Options that only their consumer understands (of a task, of a model's `config`) stay in this form
/// in a decoded `Recipe`. Equality ignores places.
public struct RecipeValue: Sendable, Equatable {
  /// The value itself.
  public enum Kind: Sendable, Equatable {
    case null
    case flag(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case list([RecipeValue])
    /// Keys are unique and stay in the order in which they were written.
    case mapping([Entry])
  }

  /// One key of a mapping and its value.
  public struct Entry: Sendable, Equatable {
    /// The key as text.
    public var key: String
    /// Its value.
    public var value: RecipeValue
    /// Where the key stands (the value may begin on a later line).
    public var place: RecipePlace

    /// Creates an entry.
    public init(_ key: String, _ value: RecipeValue, place: RecipePlace = .program) {
      self.key = key
      self.value = value
      self.place = place
    }

    /// Whether key and value are equal, wherever they stand.
    public static func == (left: Entry, right: Entry) -> Bool {
      left.key == right.key && left.value == right.value
    }
  }

  /// What it is.
  public var kind: Kind
  /// Where it begins.
  public var place: RecipePlace

  /// Creates a value.
  public init(_ kind: Kind, place: RecipePlace = .program) {
    self.kind = kind
    self.place = place
  }

  /// Whether the values are equal, wherever they stand.
  public static func == (left: RecipeValue, right: RecipeValue) -> Bool { left.kind == right.kind }

  /// Whether this is YAML's null: `null`, `~` or nothing at all.
  public var isNull: Bool { kind == .null }

  /// The value under a key, if this is a mapping that has it.
  public subscript(key: String) -> RecipeValue? {
    guard case .mapping(let entries) = kind else { return nil }
    return entries.first { $0.key == key }?.value
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

extension RecipeValue {
  /// A mapping written by the program; entries whose value is nil are left out.
  static func mapping(_ entries: [(String, RecipeValue?)]) -> RecipeValue {
    RecipeValue(.mapping(entries.compactMap { key, value in value.map { Entry(key, $0) } }))
  }

  static func integer(_ value: Int) -> RecipeValue { RecipeValue(.integer(value)) }
  static func number(_ value: Double) -> RecipeValue { RecipeValue(.number(value)) }
  static func flag(_ value: Bool) -> RecipeValue { RecipeValue(.flag(value)) }
  static func text(_ value: String) -> RecipeValue { RecipeValue(.text(value)) }
  static func list(_ values: [RecipeValue]) -> RecipeValue { RecipeValue(.list(values)) }
}
