import ErrorReporting

extension FieldReader {
  /// What a count may be at most where nothing else is said: products of a few of them, and of sizes of
  /// models, fit in 64 bits.
  public static let mostCounted = 1 << 30
  /// What a number's absolute value may be at most.
  private static let largest = 1e30

  // MARK: Numbers

  /// An integer; required when `standard` is nil.
  ///
  /// - Parameters:
  ///   - key: its key.
  ///   - standard: what it is when the key is absent.
  ///   - range: what it may be.
  ///   - most: what it may be at most, whatever the range says.
  /// - Returns: the integer.
  /// - Throws: about a key that is missing, and a value that is none or out of range.
  public func integer(
    _ key: String, default standard: Int? = nil, _ range: FieldRange<Int>,
    atMost most: Int = mostCounted
  ) throws(FieldError) -> Int {
    if let standard, value(key) == nil { return standard }
    return try integer(try required(key), key, range, atMost: most)
  }

  /// An integer; nil when the key is absent or null.
  public func optionalInteger(
    _ key: String, _ range: FieldRange<Int>, atMost most: Int = mostCounted
  ) throws(FieldError) -> Int? {
    guard let value = present(key) else { return nil }
    return try integer(value, key, range, atMost: most)
  }

  /// A list of integers; required when `standard` is nil.
  ///
  /// - Parameters:
  ///   - key: its key.
  ///   - standard: what it is when the key is absent.
  ///   - range: what each may be.
  ///   - most: what each may be at most, whatever the range says.
  ///   - orOne: whether an integer stands for a list of one.
  /// - Returns: the integers.
  /// - Throws: about a key that is missing, and a value that is none or out of range.
  public func integers(
    _ key: String, default standard: [Int]? = nil, _ range: FieldRange<Int>,
    atMost most: Int = mostCounted, orOne: Bool = false
  ) throws(FieldError) -> [Int] {
    if let standard, value(key) == nil { return standard }
    let value = try required(key)
    switch value.kind {
    case .list(let elements):
      var integers: [Int] = []
      integers.reserveCapacity(elements.count)
      for element in elements {
        integers.append(try integer(element, key, range, atMost: most))
      }
      return integers
    case .integer where orOne, .number where orOne:
      return [try integer(value, key, range, atMost: most)]
    default:
      throw wrongType(
        key, value, expected: orOne ? "an integer or a list of integers" : "a list of integers")
    }
  }

  /// A finite number; required when `standard` is nil.
  public func number(
    _ key: String, default standard: Double? = nil, _ range: FieldRange<Double> = .any
  ) throws(FieldError) -> Double {
    if let standard, value(key) == nil { return standard }
    return try number(try required(key), key, range)
  }

  /// A finite number; nil when the key is absent or null.
  public func optionalNumber(
    _ key: String, _ range: FieldRange<Double> = .any
  ) throws(FieldError) -> Double? {
    guard let value = present(key) else { return nil }
    return try number(value, key, range)
  }

  /// A list of exactly `count` numbers, or of any number of them; required when `standard` is nil.
  public func numbers(
    _ key: String, count: Int? = nil, default standard: [Double]? = nil,
    _ range: FieldRange<Double>
  ) throws(FieldError) -> [Double] {
    if let standard, value(key) == nil { return standard }
    let value = try required(key)
    guard case .list(let elements) = value.kind, elements.count == count ?? elements.count else {
      let many = count.map { "\($0) numbers" } ?? "numbers"
      throw wrongType(key, value, expected: "a list of \(many)")
    }
    var numbers: [Double] = []
    for element in elements { numbers.append(try number(element, key, range)) }
    return numbers
  }

  /// A number of bytes: an integer, or a text such as `4GB` or `1.5 GiB`; required.
  public func bytes(_ key: String) throws(FieldError) -> Int {
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

  private func integer(
    _ value: FieldValue, _ key: String, _ range: FieldRange<Int>, atMost most: Int
  ) throws(FieldError) -> Int {
    switch value.kind {
    case .integer(let integer):
      guard integer <= most else {
        throw invalid(key, "must be at most \(most), found \(integer)")
      }
      return try check(integer, key, range)
    case .number(let number) where abs(number) >= 0x1p63:
      let bound = number > 0 ? "at most \(most)" : "\(range)"
      throw invalid(key, "must be \(bound), found \(number)")
    default: throw wrongType(key, value, expected: "an integer")
    }
  }

  private func number(
    _ value: FieldValue, _ key: String, _ range: FieldRange<Double>
  ) throws(FieldError) -> Double {
    let number: Double
    switch value.kind {
    case .integer(let integer): number = Double(integer)
    case .number(let given): number = given
    default: throw wrongType(key, value, expected: "a number")
    }
    guard !number.isNaN else { throw invalid(key, "must be a number, found nan") }
    guard number <= Self.largest else {
      throw invalid(key, "must be at most \(Self.largest), found \(number)")
    }
    guard number >= -Self.largest else {
      throw invalid(key, "must be at least \(-Self.largest), found \(number)")
    }
    return try check(number, key, range)
  }

  private func check<Number>(
    _ value: Number, _ key: String, _ range: FieldRange<Number>
  ) throws(FieldError) -> Number {
    guard range.contains(value) else {
      throw invalid(key, "must be \(range), found \(value)")
    }
    return value
  }
}

// MARK: Words

extension FieldReader {
  /// `true` or `false`; required when `standard` is nil.
  public func flag(_ key: String, default standard: Bool? = nil) throws(FieldError) -> Bool {
    if let standard, value(key) == nil { return standard }
    let value = try required(key)
    guard case .flag(let flag) = value.kind else {
      throw wrongType(key, value, expected: "true or false")
    }
    return flag
  }

  /// Text, quoted if it looks like a number; required when `standard` is nil.
  ///
  /// It must not be empty unless `orEmpty`.
  public func text(
    _ key: String, default standard: String? = nil, orEmpty: Bool = false
  ) throws(FieldError) -> String {
    if let standard, value(key) == nil { return standard }
    return try text(try required(key), key, orEmpty: orEmpty)
  }

  /// Text; nil when the key is absent or null.
  ///
  /// It must not be empty unless `orEmpty`.
  public func optionalText(
    _ key: String, orEmpty: Bool = false
  ) throws(FieldError) -> String? {
    guard let value = present(key) else { return nil }
    return try text(value, key, orEmpty: orEmpty)
  }

  /// A list of texts that are not empty; required when `standard` is nil.
  public func texts(
    _ key: String, default standard: [String]? = nil
  ) throws(FieldError) -> [String] {
    var texts: [String] = []
    if let standard, value(key) == nil { return standard }
    for (element, _) in try list(key) { texts.append(try text(element, key)) }
    return texts
  }

  /// One of the words of an enumeration; required when `standard` is nil.
  public func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, default standard: Choice? = nil
  ) throws(FieldError) -> Choice where Choice.RawValue == String {
    if let standard, value(key) == nil { return standard }
    let word = try word(key, of: Choice.allCases.map(\.rawValue))
    guard let choice = Choice(rawValue: word) else {
      fatalError("\(Choice.self) does not take its own word \(word)")
    }
    return choice
  }

  /// One of some words; required.
  public func word(_ key: String, of words: [String]) throws(FieldError) -> String {
    let value = try required(key)
    let expected = "one of " + words.joined(separator: ", ")
    guard case .text(let word) = value.kind else {
      throw wrongType(key, value, expected: expected)
    }
    guard words.contains(word) else {
      let hint = nearestName(to: word, among: words).map { "; did you mean `\($0)`?" } ?? ""
      throw invalid(key, "expected \(expected), found `\(word)`\(hint)")
    }
    return word
  }

  private func text(
    _ value: FieldValue, _ key: String, orEmpty: Bool = false
  ) throws(FieldError) -> String {
    guard case .text(let text) = value.kind, orEmpty || !text.isEmpty else {
      throw wrongType(key, value, expected: "a text (quote it if it looks like a number)")
    }
    return text
  }
}
