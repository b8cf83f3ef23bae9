extension JSONValue {
  /// A number in the shortest spelling that gives back the same bits; `null` for NaN and infinities, which JSON
  /// does not have.
  ///
  /// All floating-point numbers that the program writes go through here, or through one of the two below.
  public init(_ value: some BinaryFloatingPoint & CustomStringConvertible) {
    self = value.isFinite ? .number(value.description) : .null
  }

  /// The same, but a number that is not finite is a text that tells which: `nan`, `inf` or `-inf`.
  public init(orText value: Double) {
    self = value.isFinite ? JSONValue(value) : .string(value.description)
  }

  /// The same as Python's `json` writes it: `NaN`, `Infinity` and `-Infinity` as bare words, which are no JSON.
  public init(python value: Double) {
    let word = value.isNaN ? "NaN" : value > 0 ? "Infinity" : "-Infinity"
    self = value.isFinite ? JSONValue(value) : .number(word)
  }

  /// The nearest `Double` of a number, NaN for `null`; nil for anything else.
  public var doubleOrNaN: Double? { self == .null ? .nan : double }
}

extension JSONValue {
  /// The document on one line, without its end.
  public var line: String {
    // The encoder indents; inside of a text a line break is never one.
    String(decoding: encoded(), as: UTF8.self).split(separator: "\n")
      .map { $0.drop { $0 == " " } }.joined(separator: " ")
  }
}

extension [JSONMember] {
  /// An object on one line with its end, without spaces inside its braces.
  public var line: String {
    var output: [UInt8] = []
    append(to: &output)
    return String(decoding: output, as: UTF8.self) + "\n"
  }

  private func append(to output: inout [UInt8]) {
    output += "{".utf8
    for (index, member) in enumerated() {
      if index > 0 { output += ", ".utf8 }
      appendJSONString(member.name, to: &output)
      output += ": ".utf8
      if case .object(let members) = member.value {
        members.append(to: &output)
      } else {
        output += member.value.line.utf8
      }
    }
    output += "}".utf8
  }

  /// The value of a key.
  ///
  /// Setting keeps an existing key's place and appends a new one; setting nil removes the key.
  public subscript(name: String) -> JSONValue? {
    get { first { $0.name == name }?.value }
    set {
      let index = firstIndex { $0.name == name }
      switch (index, newValue) {
      case (let index?, let value?): self[index] = JSONMember(name, value)
      case (let index?, nil): remove(at: index)
      case (nil, let value?): append(JSONMember(name, value))
      case (nil, nil): break
      }
    }
  }
}
