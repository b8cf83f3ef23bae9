extension JSONValue {
  /// A floating-point number in its shortest exact spelling, non-finite ones spelt as Python does.
  public init(_ value: Double) {
    let nonFinite = value.isNaN ? "NaN" : value > 0 ? "Infinity" : "-Infinity"
    self = .number(value.isFinite ? value.description : nonFinite)
  }

  /// A finite single-precision number in the shortest spelling that gives back the same `Float`.
  public init(_ value: Float) { self = .number(value.description) }
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
  /// An object of scalars on one line with its end, without spaces inside its braces.
  public var line: String {
    let texts = map { member in
      "\"\(member.name)\": " + String(decoding: member.value.encoded(), as: UTF8.self)
    }
    return "{" + texts.joined(separator: ", ") + "}\n"
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
