/// A section of the recipe: a mapping whose keys are its fields, with the defaults that a new value has.
protocol RecipeSection {
  /// The keys, in the order in which they are read and written.
  static var fields: [RecipeField<Self>] { get }
}

extension RecipeSection {
  /// The names of the keys.
  static var keys: [String] { fields.map(\.key) }

  /// What the keys are, those of sections inside included.
  static func described(below path: String) -> [RecipeKey] {
    fields.flatMap(\.described).map { $0.below(path) }
  }

  /// Overwrites what the mapping gives.
  mutating func read(_ reader: RecipeReader) throws(RecipeError) {
    for field in Self.fields { try field.read(&self, reader) }
  }

  /// The entries before printing.
  var entries: [RecipeValue.Entry] {
    Self.fields.compactMap { field in field.write(self).map { .init(field.key, $0) } }
  }

  /// The mapping before printing.
  var value: RecipeValue { RecipeValue(.mapping(entries)) }
}

/// One key of a section: how it is read, checked and written, and what it is.
struct RecipeField<Section> {
  typealias Read = (inout Section, RecipeReader) throws(RecipeError) -> Void

  let key: String
  /// The key, and those of a section inside.
  let described: [RecipeKey]
  /// Overwrites the field with what a mapping gives; what it leaves out keeps its value.
  let read: Read
  /// The value before printing; nil writes nothing.
  let write: (Section) -> RecipeValue?

  /// A key with rules of its own.
  init(
    _ description: RecipeKey, inside: [RecipeKey] = [], read: @escaping Read,
    write: @escaping (Section) -> RecipeValue?
  ) {
    key = description.path
    described = [description] + inside
    self.read = read
    self.write = write
  }

  /// A section inside, of which only the keys are described.
  private init(
    section key: String, _ inside: [RecipeKey], read: @escaping Read,
    write: @escaping (Section) -> RecipeValue?
  ) {
    self.key = key
    described = inside
    self.read = read
    self.write = write
  }
}

// MARK: Kinds of fields

extension RecipeField {
  /// A whole number.
  ///
  /// - Parameters:
  ///   - key: its name.
  ///   - place: where it is kept.
  ///   - allowed: its range.
  ///   - unit: what it counts.
  ///   - standard: its default for a person; nil is `required`.
  ///   - also: a further condition for a person.
  ///   - meaning: what it means.
  /// - Returns: the field.
  static func integer(
    _ key: String, _ place: WritableKeyPath<Section, Int>, _ allowed: Allowed<Int>,
    unit: String = "", standard: String? = nil, also: String = "", _ meaning: String
  ) -> RecipeField {
    let description = RecipeKey(
      path: key, type: "integer", unit: unit, standard: standard ?? "required",
      range: allowed.shortDescription + also, meaning: meaning)
    return RecipeField(description) { (section, reader) throws(RecipeError) in
      section[keyPath: place] = try reader.integer(
        key, default: standard == nil ? nil : section[keyPath: place], allowed)
    } write: {
      .integer($0[keyPath: place])
    }
  }

  /// A finite number.
  static func number(
    _ key: String, _ place: WritableKeyPath<Section, Double>, _ allowed: Allowed<Double>,
    unit: String = "", standard: String, also: String = "", _ meaning: String
  ) -> RecipeField {
    let description = RecipeKey(
      path: key, type: "number", unit: unit, standard: standard,
      range: allowed.shortDescription + also, meaning: meaning)
    return RecipeField(description) { (section, reader) throws(RecipeError) in
      section[keyPath: place] = try reader.number(key, default: section[keyPath: place], allowed)
    } write: {
      .number($0[keyPath: place])
    }
  }

  /// `true` or `false`.
  static func flag(
    _ key: String, _ place: WritableKeyPath<Section, Bool>, standard: String, _ meaning: String
  ) -> RecipeField {
    let description = RecipeKey(path: key, type: "flag", standard: standard, meaning: meaning)
    return RecipeField(description) { (section, reader) throws(RecipeError) in
      section[keyPath: place] = try reader.flag(key, default: section[keyPath: place])
    } write: {
      .flag($0[keyPath: place])
    }
  }

  /// One of the words of an enumeration.
  static func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, _ place: WritableKeyPath<Section, Choice>, standard: String, _ meaning: String
  ) -> RecipeField where Choice.RawValue == String {
    let description = RecipeKey(
      path: key, type: "word", standard: standard, range: words(Choice.self), meaning: meaning)
    return RecipeField(description) { (section, reader) throws(RecipeError) in
      section[keyPath: place] = try reader.choice(key, default: section[keyPath: place])
    } write: {
      .text($0[keyPath: place].rawValue)
    }
  }

  /// Text that is not empty.
  static func text(
    _ key: String, _ place: WritableKeyPath<Section, String>, type: String = "text",
    standard: String? = nil, range: String = "not empty", _ meaning: String
  ) -> RecipeField {
    let description = RecipeKey(
      path: key, type: type, standard: standard ?? "required", range: range, meaning: meaning)
    return RecipeField(description) { (section, reader) throws(RecipeError) in
      section[keyPath: place] = try reader.text(
        key, default: standard == nil ? nil : section[keyPath: place])
    } write: {
      .text($0[keyPath: place])
    }
  }

  /// A section inside.
  static func section<Child: RecipeSection>(
    _ key: String, _ place: WritableKeyPath<Section, Child>
  ) -> RecipeField {
    RecipeField(section: key, Child.described(below: key)) {
      (section, reader) throws(RecipeError) in
      var child = section[keyPath: place]
      try reader.section(key, keys: Child.keys) { (inner) throws(RecipeError) in
        try child.read(inner)
      }
      section[keyPath: place] = child
    } write: {
      $0[keyPath: place].value
    }
  }

  /// The words of an enumeration for a table.
  static func words<Choice: RawRepresentable & CaseIterable>(_ type: Choice.Type) -> String
  where Choice.RawValue == String {
    Choice.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")
  }
}
