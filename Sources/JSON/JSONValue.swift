import Files

/// A JSON value that keeps the order of members and the text of numbers, so that 64-bit integers
/// and the exact digits of a fraction survive.
public indirect enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number as it is written. `NaN` and infinities only occur where the parser was told so.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([JSONMember])

  /// Parses a whole document.
  ///
  /// - Parameters:
  ///   - bytes: UTF-8 text.
  ///   - source: the file's name, for errors.
  ///   - allowsNonFinite: whether `NaN`, `Infinity` and `-Infinity` count as numbers.
  /// - Throws: `.invalid` on anything that is not strict JSON (see `JSONCursor`).
  public init(
    parsing bytes: UnsafeRawBufferPointer, source: String, allowsNonFinite: Bool = false
  ) throws(FileError) {
    try GitLFSPointer.refuse(bytes, source: source)
    var cursor = JSONCursor(bytes, source: source)
    self = try cursor.value(allowsNonFinite: allowsNonFinite)
    try cursor.expectEnd()
  }

  /// The largest file that is read whole.
  public static let maximumFileByteCount = 100_000_000

  /// Parses a file.
  ///
  /// - Parameters:
  ///   - path: a file of at most `maximumFileByteCount`.
  ///   - allowsNonFinite: whether `NaN`, `Infinity` and `-Infinity` count as numbers.
  /// - Throws: `.io`; `.invalid` on anything that is not strict JSON.
  public init(contentsOf path: String, allowsNonFinite: Bool = false) throws(FileError) {
    let file = try MappedFile(path: path)
    guard file.byteCount <= Self.maximumFileByteCount else {
      throw .invalid(
        path: path, field: "size", reason: "\(file.byteCount) bytes are too many for this file")
    }
    defer { withExtendedLifetime(file) {} }
    try self.init(parsing: file.bytes, source: path, allowsNonFinite: allowsNonFinite)
  }

  /// An integer.
  public static func integer(_ value: some BinaryInteger) -> JSONValue { .number("\(value)") }

  /// The member of that name, or nil if there is none or this is not an object.
  public subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// The text of a string, else nil.
  public var string: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  /// The value of a whole number that fits, else nil.
  public func integer<Integer: FixedWidthInteger>(as type: Integer.Type = Int.self) -> Integer? {
    guard case .number(let text) = self else { return nil }
    return Integer(text)
  }

  /// The nearest `Double` of a number, else nil.
  public var double: Double? {
    guard case .number(let text) = self else { return nil }
    return Double(text)
  }

  /// The value of a boolean, else nil.
  public var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  /// The elements of an array, else nil.
  public var array: [JSONValue]? {
    guard case .array(let elements) = self else { return nil }
    return elements
  }
}

/// A name and its value in a JSON object.
public struct JSONMember: Sendable, Equatable {
  /// The member's key.
  public let name: String

  /// The member's value.
  public let value: JSONValue

  /// A member of an object.
  public init(_ name: String, _ value: JSONValue) {
    self.name = name
    self.value = value
  }
}

extension JSONCursor {
  /// Reads any value.
  public mutating func value(
    allowsNonFinite: Bool = false, depth: Int = 0
  ) throws(FileError) -> JSONValue {
    guard depth < Self.maximumDepth else {
      throw failure("more than \(Self.maximumDepth) nested values")
    }
    switch peek() {
    case UInt8(ascii: "{"):
      var members: [JSONMember] = []
      try object { (cursor, name) throws(FileError) in
        let value = try cursor.value(allowsNonFinite: allowsNonFinite, depth: depth + 1)
        members.append(JSONMember(name, value))
      }
      return .object(members)
    case UInt8(ascii: "["):
      var elements: [JSONValue] = []
      try array { (cursor) throws(FileError) in
        elements.append(try cursor.value(allowsNonFinite: allowsNonFinite, depth: depth + 1))
      }
      return .array(elements)
    case UInt8(ascii: "\""): return .string(try string())
    case nil: throw failure("the text ends where a value should be")
    default:
      if takeWord("null") { return .null }
      if takeWord("true") { return .bool(true) }
      if takeWord("false") { return .bool(false) }
      return .number(try number(allowsNonFinite: allowsNonFinite))
    }
  }
}

extension JSONValue {
  /// The document as indented text; the same value always gives the same bytes.
  ///
  /// One member or element a line, except that arrays of numbers and strings stay on one line.
  public func encoded() -> [UInt8] {
    var output: [UInt8] = []
    append(to: &output, indent: 0)
    return output
  }

  private var isScalar: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }

  private func append(to output: inout [UInt8], indent: Int) {
    switch self {
    case .null: output += "null".utf8
    case .bool(let value): output += (value ? "true" : "false").utf8
    case .number(let text): output += text.utf8
    case .string(let text): appendJSONString(text, to: &output)
    case .array(let elements) where elements.allSatisfy(\.isScalar):
      output += "[".utf8
      for (i, element) in elements.enumerated() {
        if i > 0 { output += ", ".utf8 }
        element.append(to: &output, indent: indent)
      }
      output += "]".utf8
    case .array(let elements):
      Self.appendLines(elements.count, "[", "]", to: &output, indent) { i, output in
        elements[i].append(to: &output, indent: indent + 2)
      }
    case .object(let members):
      Self.appendLines(members.count, "{", "}", to: &output, indent) { i, output in
        appendJSONString(members[i].name, to: &output)
        output += ": ".utf8
        members[i].value.append(to: &output, indent: indent + 2)
      }
    }
  }

  private static func appendLines(
    _ count: Int, _ opening: String, _ closing: String, to output: inout [UInt8], _ indent: Int,
    _ line: (Int, inout [UInt8]) -> Void
  ) {
    output += opening.utf8
    for i in 0..<count {
      output += (i > 0 ? ",\n" : "\n").utf8
      output += [UInt8](repeating: 0x20, count: indent + 2)
      line(i, &output)
    }
    if count > 0 {
      output.append(0x0A)
      output += [UInt8](repeating: 0x20, count: indent)
    }
    output += closing.utf8
  }
}
