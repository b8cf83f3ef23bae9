import ErrorReporting
import RecallTasks

/// Reads the keys of one mapping and tracks its path, so that every complaint names a file, a line
/// and a key.
///
/// The keys a mapping may have are given at the start and checked at once; asking for a key that is
/// not among them is a programmer's error. Pass `keys: nil` for mappings whose further keys are free.
struct RecipeReader {
  private let entries: [RecipeValue.Entry]
  private let place: RecipePlace
  private let keys: [String]?
  /// Dotted path of the mapping, empty for the whole recipe.
  let path: String

  /// Begins to read a mapping.
  ///
  /// - Throws: `wrongType` if `value` is no mapping, `unknownKey` for a key outside `keys`.
  init(_ value: RecipeValue, path: String, keys: [String]?) throws(RecipeError) {
    guard case .mapping(let entries) = value.kind else {
      throw .wrongType(
        place: value.place, path: path.isEmpty ? "recipe" : path, expected: "a mapping of keys",
        found: value.summary)
    }
    self.entries = entries
    self.path = path
    self.place = value.place
    self.keys = keys
    guard let keys else { return }
    for entry in entries where !keys.contains(entry.key) {
      throw .unknownKey(
        place: entry.place, path: Self.join(path, entry.key),
        suggestion: nearestName(to: entry.key, among: keys))
    }
  }

  private static func join(_ path: String, _ key: String) -> String {
    path.isEmpty ? key : path + "." + key
  }

  /// The dotted path of a key of this mapping.
  func path(of key: String) -> String { Self.join(path, key) }

  /// Where a key was written, or the mapping if it is absent.
  func place(of key: String) -> RecipePlace {
    entries.first { $0.key == key }?.place ?? place
  }

  /// The undecoded value of a key, nil when absent.
  func value(_ key: String) -> RecipeValue? {
    precondition(keys?.contains(key) ?? true, "`\(key)` is not among the declared keys")
    return entries.first { $0.key == key }?.value
  }

  /// The undecoded value of a key, nil when absent or null.
  func present(_ key: String) -> RecipeValue? {
    value(key).flatMap { $0.isNull ? nil : $0 }
  }

  /// Every entry whose key is not in `taken`: the free options of a task.
  func remaining(_ taken: [String]) -> [RecipeValue.Entry] {
    entries.filter { !taken.contains($0.key) }
  }

  /// A complaint about a key of this mapping.
  func invalid(_ key: String, _ reason: String) -> RecipeError {
    .invalidValue(place: place(of: key), path: path(of: key), reason: reason)
  }

  /// The value of a required key.
  func required(_ key: String) throws(RecipeError) -> RecipeValue {
    if let value = value(key) { return value }
    throw .missingKey(place: place, path: path(of: key))
  }

  private func wrongType(
    _ key: String, _ value: RecipeValue, expected: String
  ) -> RecipeError {
    let hint = value.isNull ? "nothing (write a value or leave the key out)" : value.summary
    return .wrongType(place: value.place, path: path(of: key), expected: expected, found: hint)
  }
}

// MARK: Scalars

extension RecipeReader {
  /// An integer; required when `standard` is nil.
  func integer(
    _ key: String, default standard: Int? = nil, _ allowed: Allowed<Int>,
    atMost most: Int = mostCounted
  ) throws(RecipeError) -> Int {
    if let standard, value(key) == nil { return standard }
    let value = try required(key)
    guard case .integer(let integer) = value.kind else {
      throw wrongType(key, value, expected: "an integer")
    }
    guard integer <= most else {
      throw invalid(key, "must be at most \(most), found \(integer)")
    }
    return try check(integer, key, allowed)
  }

  /// What a count may be at most where its range says nothing else: products of a few of them, and of
  /// sizes of models, fit in 64 bits.
  static let mostCounted = 1 << 30
  /// Tokens of a micro-batch at most.
  static let mostTokens = 1 << 36
  /// What a number may be at most where its range says nothing else.
  private static let largest = 1e30

  /// A finite number; required when `standard` is nil.
  func number(
    _ key: String, default standard: Double? = nil, _ allowed: Allowed<Double> = .any
  ) throws(RecipeError) -> Double {
    if let standard, value(key) == nil { return standard }
    return try number(try required(key), key, allowed)
  }

  private func number(
    _ value: RecipeValue, _ key: String, _ allowed: Allowed<Double>
  ) throws(RecipeError) -> Double {
    let number: Double
    switch value.kind {
    case .integer(let integer): number = Double(integer)
    case .number(let given): number = given
    default: throw wrongType(key, value, expected: "a number")
    }
    guard number <= Self.largest else {
      throw invalid(key, "must be at most \(Self.largest), found \(number)")
    }
    return try check(number, key, allowed)
  }

  /// A list of exactly `count` numbers.
  func numbers(
    _ key: String, default standard: [Double], _ allowed: Allowed<Double>
  ) throws(RecipeError) -> [Double] {
    guard let value = value(key) else { return standard }
    guard case .list(let elements) = value.kind, elements.count == standard.count else {
      throw wrongType(key, value, expected: "a list of \(standard.count) numbers")
    }
    var numbers: [Double] = []
    for element in elements {
      numbers.append(try number(element, key, allowed))
    }
    return numbers
  }

  /// A number of bytes: an integer, or a text such as `4GB` or `1.5 GiB`; required.
  func bytes(_ key: String) throws(RecipeError) -> Int {
    let value = try required(key)
    if case .integer(let bytes) = value.kind, bytes <= 1 << 62 {
      return try check(bytes, key, .atLeast(1))
    }
    let units = ["kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "MiB": 0x1p20, "GiB": 0x1p30]
    guard case .text(let text) = value.kind,
      let unit = units.first(where: { text.hasSuffix($0.key) }),
      let number = Double(text.dropLast(unit.key.count).filter { $0 != " " }),
      number > 0, number * unit.value < 0x1p62
    else {
      throw wrongType(key, value, expected: "bytes, for example 4000000000, 4GB or 3.5GiB")
    }
    return Int(number * unit.value)
  }

  /// `true` or `false`; required when `standard` is nil.
  func flag(_ key: String, default standard: Bool? = nil) throws(RecipeError) -> Bool {
    if let standard, value(key) == nil { return standard }
    let value = try required(key)
    guard case .flag(let flag) = value.kind else {
      throw wrongType(key, value, expected: "true or false")
    }
    return flag
  }

  /// Text that is not empty, quoted if it looks like a number; required when `standard` is nil.
  func text(_ key: String, default standard: String? = nil) throws(RecipeError) -> String {
    if let standard, value(key) == nil { return standard }
    let value = try required(key)
    guard case .text(let text) = value.kind, !text.isEmpty else {
      throw wrongType(key, value, expected: "a text (quote it if it looks like a number)")
    }
    return text
  }

  /// One of the words of an enumeration; required when `standard` is nil.
  func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, default standard: Choice? = nil
  ) throws(RecipeError) -> Choice where Choice.RawValue == String {
    if let standard, value(key) == nil { return standard }
    let value = try required(key)
    let words = Choice.allCases.map(\.rawValue)
    let expected = "one of " + words.joined(separator: ", ")
    guard case .text(let word) = value.kind else {
      throw wrongType(key, value, expected: expected)
    }
    guard let choice = Choice(rawValue: word) else {
      let hint = nearestName(to: word, among: words).map { "; did you mean `\($0)`?" } ?? ""
      throw invalid(key, "expected \(expected), found `\(word)`\(hint)")
    }
    return choice
  }

  private func check<Number>(
    _ value: Number, _ key: String, _ allowed: Allowed<Number>
  ) throws(RecipeError) -> Number {
    guard allowed.contains(value) else {
      throw invalid(key, "must be \(allowed), found \(value)")
    }
    return value
  }
}

// MARK: Structure

extension RecipeReader {
  /// The mapping under a key, read by `body`; an absent one reads like an empty one.
  func section<Section>(
    _ key: String, keys: [String],
    _ body: (RecipeReader) throws(RecipeError) -> Section
  ) throws(RecipeError) -> Section {
    let value = value(key) ?? RecipeValue(.mapping([]), place: place)
    return try body(RecipeReader(value, path: path(of: key), keys: keys))
  }

  /// The section under a key, read over its defaults.
  func section<Section: RecipeSection>(
    _ key: String, _ standard: Section
  ) throws(RecipeError) -> Section {
    try section(key, keys: Section.keys) { (reader) throws(RecipeError) in
      try Self.read(standard, reader)
    }
  }

  /// The section under a key, read over its defaults, or nil if the key is absent or null.
  func optionalSection<Section: RecipeSection>(
    _ key: String, _ standard: Section
  ) throws(RecipeError) -> Section? {
    try optionalSection(key, keys: Section.keys) { (reader) throws(RecipeError) in
      try Self.read(standard, reader)
    }
  }

  private static func read<Section: RecipeSection>(
    _ standard: Section, _ reader: RecipeReader
  ) throws(RecipeError) -> Section {
    var section = standard
    try section.read(reader)
    return section
  }

  /// The mapping under a key, or nil if the key is absent or null.
  func optionalSection<Section>(
    _ key: String, keys: [String],
    _ body: (RecipeReader) throws(RecipeError) -> Section
  ) throws(RecipeError) -> Section? {
    guard let value = present(key) else { return nil }
    return try body(RecipeReader(value, path: path(of: key), keys: keys))
  }

  /// The elements under a key with the path of each.
  func list(
    _ key: String, default standard: [RecipeValue]? = nil
  ) throws(RecipeError) -> [(value: RecipeValue, path: String)] {
    let value: RecipeValue
    if let standard, self.value(key) == nil {
      value = RecipeValue(.list(standard), place: place)
    } else {
      value = try required(key)
    }
    guard case .list(let elements) = value.kind else {
      throw wrongType(key, value, expected: "a list")
    }
    return elements.enumerated().map { ($1, "\(path(of: key)).\($0)") }
  }
}

/// The values a number may take; its description completes "must be ...".
enum Allowed<Number: Comparable & Sendable>: Sendable, CustomStringConvertible {
  case any
  case atLeast(Number)
  case above(Number)
  /// Both ends included.
  case between(Number, Number)
  /// Lower end included, upper end not.
  case from(Number, below: Number)

  func contains(_ value: Number) -> Bool {
    switch self {
    case .any: true
    case .atLeast(let low): value >= low
    case .above(let low): value > low
    case .between(let low, let high): value >= low && value <= high
    case .from(let low, let high): value >= low && value < high
    }
  }

  /// The range in a table.
  var shortDescription: String {
    switch self {
    case .any: ""
    case .atLeast(let low): ">= \(Self.plain(low))"
    case .above(let low): "> \(Self.plain(low))"
    case .between(let low, let high): "\(Self.plain(low)) to \(Self.plain(high))"
    case .from(let low, let high): ">= \(Self.plain(low)) and < \(Self.plain(high))"
    }
  }

  private static func plain(_ number: Number) -> String {
    let text = "\(number)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  var description: String {
    switch self {
    case .any: "a number"
    case .atLeast(let low): "at least \(low)"
    case .above(let low): "above \(low)"
    case .between(let low, let high): "between \(low) and \(high)"
    case .from(let low, let high): "at least \(low) and below \(high)"
    }
  }
}
