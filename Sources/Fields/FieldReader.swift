import ErrorReporting

/// Reads the keys of one mapping and knows its path, so that every complaint names a file, where it is
/// known a line, and a key.
///
/// The keys that a mapping may have are given at the start and checked at once; asking for a key that is
/// not among them is a programmer's error. Pass `keys: nil` for mappings whose further keys are free.
public struct FieldReader {
  /// The mapping's keys and values.
  public let entries: [FieldValue.Entry]
  /// Dotted path of the mapping, empty for the whole document.
  public let path: String
  /// Where the mapping begins.
  public let place: FieldPlace
  private let keys: [String]?

  /// Begins to read a mapping.
  ///
  /// - Parameters:
  ///   - value: the mapping.
  ///   - path: its dotted path; empty for the whole document.
  ///   - keys: the keys that are read here; nil for any.
  ///   - others: keys of the mapping that somebody else reads.
  /// - Throws: `wrongType` if `value` is no mapping, `unknownKey` for a key that nobody reads.
  public init(
    _ value: FieldValue, path: String = "", keys: [String]?, besides others: [String] = []
  ) throws(FieldError) {
    guard case .mapping(let entries) = value.kind else {
      throw FieldError(
        place: value.place, path: path,
        .wrongType(expected: "a mapping of keys", found: value.summary))
    }
    self.entries = entries
    self.path = path
    self.place = value.place
    self.keys = keys
    guard let keys else { return }
    try refuse(except: keys + others)
  }

  /// Refuses keys that are not in `known`.
  public func refuse(except known: [String]) throws(FieldError) {
    for entry in entries where !known.contains(entry.key) {
      throw FieldError(
        place: entry.place, path: path(of: entry.key), .unknownKey(known: known))
    }
  }

  /// The dotted path of a key of this mapping.
  public func path(of key: String) -> String { path.isEmpty ? key : path + "." + key }

  /// Where the value of a key was written, or the mapping if it is absent.
  ///
  /// The value and not its key: an override of a key that stands in the file writes the value only.
  public func place(of key: String) -> FieldPlace {
    entries.first { $0.key == key }?.value.place ?? place
  }

  /// The undecoded value of a key, nil when absent.
  public func value(_ key: String) -> FieldValue? {
    require(keys?.contains(key) ?? true, "`\(key)` is not among the declared keys")
    return entries.first { $0.key == key }?.value
  }

  /// The undecoded value of a key, nil when absent or null.
  public func present(_ key: String) -> FieldValue? {
    value(key).flatMap { $0.isNull ? nil : $0 }
  }

  /// Every entry whose key is not in `taken`: options that are free here.
  public func remaining(_ taken: [String]) -> [FieldValue.Entry] {
    entries.filter { !taken.contains($0.key) }
  }

  /// The value of a required key.
  public func required(_ key: String) throws(FieldError) -> FieldValue {
    if let value = value(key) { return value }
    throw FieldError(place: place, path: path(of: key), .missing)
  }

  /// A complaint about the value of a key.
  public func invalid(_ key: String, _ reason: String) -> FieldError {
    FieldError(place: place(of: key), path: path(of: key), .invalid(reason))
  }

  /// A complaint about the kind of a key's value.
  public func wrongType(_ key: String, _ value: FieldValue, expected: String) -> FieldError {
    let found = value.isNull ? "nothing (write a value or leave the key out)" : value.summary
    return FieldError(
      place: value.place, path: path(of: key), .wrongType(expected: expected, found: found))
  }
}

// MARK: Mappings and lists inside

extension FieldReader {
  /// The mapping under a key, read by `body`; an absent one reads like an empty one.
  public func section<Section>(
    _ key: String, keys: [String], _ body: (FieldReader) throws(FieldError) -> Section
  ) throws(FieldError) -> Section {
    let value = value(key) ?? FieldValue(.mapping([]), place: place)
    return try body(FieldReader(value, path: path(of: key), keys: keys))
  }

  /// The mapping under a key, or nil if the key is absent or null.
  public func optionalSection<Section>(
    _ key: String, keys: [String], _ body: (FieldReader) throws(FieldError) -> Section
  ) throws(FieldError) -> Section? {
    guard let value = present(key) else { return nil }
    return try body(FieldReader(value, path: path(of: key), keys: keys))
  }

  /// The section under a key, read over its defaults.
  package func section<Section: FieldSection>(
    _ key: String, _ standard: Section
  ) throws(FieldError) -> Section {
    try section(key, keys: Section.keys) { (reader) throws(FieldError) in
      try reader.read(standard)
    }
  }

  /// The section under a key, read over its defaults, or nil if the key is absent or null.
  package func optionalSection<Section: FieldSection>(
    _ key: String, _ standard: Section
  ) throws(FieldError) -> Section? {
    try optionalSection(key, keys: Section.keys) { (reader) throws(FieldError) in
      try reader.read(standard)
    }
  }

  /// The section that this mapping is, read over its defaults.
  package func read<Section: FieldSection>(_ standard: Section) throws(FieldError) -> Section {
    var section = standard
    try section.read(self)
    return section
  }

  /// The mapping under a required key, whose keys are free.
  public func mapping(_ key: String) throws(FieldError) -> FieldReader {
    try FieldReader(try required(key), path: path(of: key), keys: nil)
  }

  /// The mapping under a key, whose keys are free; nil if the key is absent or null.
  public func optionalMapping(_ key: String) throws(FieldError) -> FieldReader? {
    guard let value = present(key) else { return nil }
    return try FieldReader(value, path: path(of: key), keys: nil)
  }

  /// The elements under a key with the path of each; required when `standard` is nil.
  public func list(
    _ key: String, default standard: [FieldValue]? = nil
  ) throws(FieldError) -> [(value: FieldValue, path: String)] {
    if let standard, value(key) == nil { return elements(standard, key) }
    let value = try required(key)
    guard case .list(let list) = value.kind else {
      throw wrongType(key, value, expected: "a list")
    }
    return elements(list, key)
  }

  /// The mappings in the list under a required key.
  public func mappings(_ key: String) throws(FieldError) -> [FieldReader] {
    var readers: [FieldReader] = []
    for (value, path) in try list(key) {
      readers.append(try FieldReader(value, path: path, keys: nil))
    }
    return readers
  }

  private func elements(
    _ list: [FieldValue], _ key: String
  ) -> [(value: FieldValue, path: String)] {
    list.enumerated().map { ($1, "\(path(of: key)).\($0)") }
  }
}
