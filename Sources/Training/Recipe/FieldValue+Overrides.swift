import Fields

extension FieldValue {
  /// Applies `key.path=value` from the command line.
  ///
  /// The value is YAML (`[0.9, 0.99]`, `{every: 2}`, `null`, `3e-4`); a number in the path counts
  /// list elements from 0. Mappings on the way are made when absent, so that whether a key exists is
  /// judged in one place, by the decoder.
  ///
  /// - Throws: `RecipeError.badOverride`, and `RecipeError.syntax` for a value that is not YAML.
  mutating func apply(override text: String) throws(RecipeError) {
    guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
      throw .badOverride(text: text, reason: "expected key.path=value")
    }
    let keys = text[..<equals].split(separator: ".", omittingEmptySubsequences: false)
    guard !keys.contains(where: \.isEmpty), keys.count <= 32 else {
      throw .badOverride(text: text, reason: "expected key.path=value with keys between the dots")
    }
    let yaml = String(text[text.index(after: equals)...])
    let value = try FieldValue.parse(yaml: yaml) { _ in .override(text) }
    try set(keys[...], to: value, text: text)
  }

  private mutating func set(
    _ keys: ArraySlice<Substring>, to newValue: FieldValue, text: String
  ) throws(RecipeError) {
    guard let key = keys.first else {
      self = newValue
      return
    }
    let rest = keys.dropFirst()
    switch kind {
    case .list(var elements):
      guard let index = Int(key), elements.indices.contains(index) else {
        throw .badOverride(
          text: text,
          reason: "`\(key)` must be the position of one of \(elements.count) list elements, from 0")
      }
      try elements[index].set(rest, to: newValue, text: text)
      kind = .list(elements)
    case .mapping(var entries):
      let index = entries.firstIndex { $0.key == key } ?? entries.endIndex
      if index == entries.endIndex {
        let empty = FieldValue(.null, place: .override(text))
        entries.append(Entry(String(key), empty, place: .override(text)))
      }
      try entries[index].value.set(rest, to: newValue, text: text)
      kind = .mapping(entries)
    case .null:
      self = FieldValue(.mapping([]), place: .override(text))
      try set(keys, to: newValue, text: text)
    default:
      throw .badOverride(text: text, reason: "`\(key)` leads into \(summary), which has no keys")
    }
  }
}
