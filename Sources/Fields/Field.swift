/// A mapping that is decoded: its keys are its fields, with the defaults that a new value has.
package protocol FieldSection {
  /// The keys, in the order in which they are read and written.
  static var fields: [Field<Self>] { get }
}

extension FieldSection {
  /// The names of the keys.
  package static var keys: [String] { fields.map(\.key) }

  /// What the keys are, those of sections inside included.
  package static func described(below path: String) -> [FieldKey] {
    fields.flatMap(\.described).map { $0.below(path) }
  }

  /// Overwrites what the mapping gives.
  package mutating func read(_ reader: FieldReader) throws(FieldError) {
    for field in Self.fields { try field.read(&self, reader) }
  }

  /// The entries before printing.
  package var entries: [FieldValue.Entry] {
    Self.fields.compactMap { field in field.write(self).map { .init(field.key, $0) } }
  }

  /// The mapping before printing.
  package var value: FieldValue { FieldValue(.mapping(entries)) }
}

/// One key of a section: how it is read, checked and written, and what it is.
package struct Field<Section> {
  /// Overwrites what a mapping gives.
  package typealias Read = (inout Section, FieldReader) throws(FieldError) -> Void

  /// The key's name.
  package let key: String
  /// The key, and those of a section inside.
  package let described: [FieldKey]
  /// Overwrites the field with what a mapping gives; what it leaves out keeps its value.
  package let read: Read
  /// The value before printing; nil writes nothing.
  package let write: (Section) -> FieldValue?

  /// A key with rules of its own.
  package init(
    _ description: FieldKey, inside: [FieldKey] = [], read: @escaping Read,
    write: @escaping (Section) -> FieldValue?
  ) {
    key = description.path
    described = [description] + inside
    self.read = read
    self.write = write
  }

  /// A section inside, of which only the keys are described.
  private init(
    section key: String, _ inside: [FieldKey], read: @escaping Read,
    write: @escaping (Section) -> FieldValue?
  ) {
    self.key = key
    described = inside
    self.read = read
    self.write = write
  }
}

// MARK: Kinds of fields

extension Field {
  /// A whole number.
  ///
  /// - Parameters:
  ///   - key: its name.
  ///   - place: where it is kept.
  ///   - range: its range.
  ///   - unit: what it counts.
  ///   - standard: its default for a person; nil is `required`.
  ///   - also: a further condition for a person.
  ///   - meaning: what it means.
  /// - Returns: the field.
  package static func integer(
    _ key: String, _ place: WritableKeyPath<Section, Int>, _ range: FieldRange<Int>,
    unit: String = "", standard: String? = nil, also: String = "", _ meaning: String
  ) -> Field {
    let description = FieldKey(
      path: key, type: "integer", unit: unit, standard: standard ?? "required",
      range: range.shortDescription + also, meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.integer(
        key, default: standard == nil ? nil : section[keyPath: place], range)
    } write: {
      .integer($0[keyPath: place])
    }
  }

  /// A whole number, or none.
  package static func integer(
    _ key: String, _ place: WritableKeyPath<Section, Int?>, _ range: FieldRange<Int>,
    unit: String = "", standard: String, also: String = "", _ meaning: String
  ) -> Field {
    let description = FieldKey(
      path: key, type: "integer", unit: unit, standard: standard,
      range: range.shortDescription + also, meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      guard reader.value(key) != nil else { return }
      section[keyPath: place] = try reader.integer(key, range)
    } write: {
      $0[keyPath: place].map(FieldValue.integer)
    }
  }

  /// A finite number.
  package static func number(
    _ key: String, _ place: WritableKeyPath<Section, Double>, _ range: FieldRange<Double>,
    unit: String = "", standard: String, also: String = "", _ meaning: String
  ) -> Field {
    let description = FieldKey(
      path: key, type: "number", unit: unit, standard: standard,
      range: range.shortDescription + also, meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.number(key, default: section[keyPath: place], range)
    } write: {
      .number($0[keyPath: place])
    }
  }

  /// `true` or `false`.
  package static func flag(
    _ key: String, _ place: WritableKeyPath<Section, Bool>, standard: String, _ meaning: String
  ) -> Field {
    let description = FieldKey(path: key, type: "flag", standard: standard, meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.flag(key, default: section[keyPath: place])
    } write: {
      .flag($0[keyPath: place])
    }
  }

  /// One of the words of an enumeration.
  package static func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, _ place: WritableKeyPath<Section, Choice>, standard: String, _ meaning: String
  ) -> Field where Choice.RawValue == String {
    let description = FieldKey(
      path: key, type: "word", standard: standard, range: words(Choice.self), meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.choice(key, default: section[keyPath: place])
    } write: {
      .text($0[keyPath: place].rawValue)
    }
  }

  /// Text that is not empty.
  package static func text(
    _ key: String, _ place: WritableKeyPath<Section, String>, type: String = "text",
    standard: String? = nil, range: String = "not empty", _ meaning: String
  ) -> Field {
    let description = FieldKey(
      path: key, type: type, standard: standard ?? "required", range: range, meaning: meaning)
    return Field(description) { (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.text(
        key, default: standard == nil ? nil : section[keyPath: place])
    } write: {
      .text($0[keyPath: place])
    }
  }

  /// A section inside.
  package static func section<Child: FieldSection>(
    _ key: String, _ place: WritableKeyPath<Section, Child>
  ) -> Field {
    Field(section: key, Child.described(below: key)) {
      (section, reader) throws(FieldError) in
      section[keyPath: place] = try reader.section(key, section[keyPath: place])
    } write: {
      $0[keyPath: place].value
    }
  }

  /// The words of an enumeration for a table.
  package static func words<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) -> String
  where Choice.RawValue == String {
    Choice.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")
  }
}
