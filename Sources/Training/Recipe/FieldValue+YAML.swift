import Fields
import Foundation
import Yams

extension FieldValue {
  /// The longest recipe that is read, in bytes; the paper's recipes have one thousand.
  static let largestText = 1 << 20
  /// The deepest nesting that is read.
  static let deepestNesting = 64

  /// Reads one YAML document.
  ///
  /// The dialect is YAML without its surprises: `true` and `false` are the only flags, `3e-4` and
  /// `1_000` are numbers, numbers are decimal, keys are unique, and there are no tags, anchors or
  /// aliases (so the tree is never larger than its text).
  ///
  /// - Parameters:
  ///   - yaml: the text; an empty one is null.
  ///   - place: gives the place of a line counted from 1.
  /// - Returns: the tree, with places.
  /// - Throws: `RecipeError.syntax`.
  static func parse(
    yaml: String, place: (Int) -> FieldPlace
  ) throws(RecipeError) -> FieldValue {
    guard yaml.utf8.count <= largestText else {
      throw .syntax(place: place(1), reason: "longer than \(largestText) bytes; not a recipe")
    }
    let yaml = yaml.hasPrefix("\u{FEFF}") ? String(yaml.unicodeScalars.dropFirst()) : yaml
    if let line = lineOfAnchor(in: yaml) {
      throw .syntax(
        place: place(line), reason: "anchors (`&name`) are not supported; write the value out")
    }
    let node: Node?
    do {
      node = try Yams.compose(yaml: yaml, .basic, .default, .utf8)
    } catch {
      throw syntaxError(error, yaml: yaml, place: place)
    }
    guard let node else { return FieldValue(.null, place: place(1)) }
    return try FieldValue(node, depth: 0, place: place)
  }

  /// The line of the first `&` that could begin an anchor, wherever it stands: refusing too much
  /// (a quoted `" &x"`) is better than following references that multiply.
  private static func lineOfAnchor(in yaml: String) -> Int? {
    var line = 1
    var mayBegin = true
    var pending = false
    for byte in yaml.utf8 {
      let isBlank = byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
      if pending && !isBlank { return line }
      pending = mayBegin && byte == UInt8(ascii: "&")
      mayBegin = isBlank || byte >= 0x80 || "[]{},:\"'".utf8.contains(byte)
      if byte == 0x0A { line += 1 }
    }
    return nil
  }

  private init(
    _ node: Node, depth: Int, place: (Int) -> FieldPlace
  ) throws(RecipeError) {
    let here = place(node.mark?.line ?? 1)
    guard depth <= Self.deepestNesting else {
      throw .syntax(place: here, reason: "nested deeper than \(Self.deepestNesting) levels")
    }
    switch node {
    case .scalar(let scalar):
      self = try FieldValue(scalar, place: here)
    case .sequence(let sequence):
      try Self.refuseTag(sequence.tag, place: here)
      var elements: [FieldValue] = []
      for element in sequence {
        elements.append(try FieldValue(element, depth: depth + 1, place: place))
      }
      self.init(.list(elements), place: here)
    case .mapping(let mapping):
      try Self.refuseTag(mapping.tag, place: here)
      self.init(.mapping(try Self.entries(of: mapping, depth: depth, place: place)), place: here)
    case .alias:
      throw .syntax(place: here, reason: "aliases (`*name`) are not supported")
    }
  }

  private static func entries(
    of mapping: Node.Mapping, depth: Int, place: (Int) -> FieldPlace
  ) throws(RecipeError) -> [Entry] {
    var entries: [Entry] = []
    var seen: Set<String> = []
    for (key, value) in mapping {
      let here = place(key.mark?.line ?? 1)
      guard case .scalar(let scalar) = key else {
        throw .syntax(place: here, reason: "a key must be a word, not a list or a mapping")
      }
      guard seen.insert(scalar.string).inserted else {
        throw .syntax(place: here, reason: "the key `\(scalar.string)` stands here twice")
      }
      let read = try FieldValue(value, depth: depth + 1, place: place)
      entries.append(Entry(scalar.string, read, place: here))
    }
    return entries
  }

  private init(_ scalar: Node.Scalar, place: FieldPlace) throws(RecipeError) {
    let isPlain = scalar.style == .plain || scalar.style == .any
    let tag = scalar.tag.description
    guard tag.isEmpty || (!isPlain && tag == Tag.Name.str.rawValue) else {
      throw .syntax(place: place, reason: "YAML tags (`\(tag)`) are not supported")
    }
    self.init(isPlain ? Kind(plain: scalar.string) : .text(scalar.string), place: place)
  }

  private static func refuseTag(_ tag: Tag, place: FieldPlace) throws(RecipeError) {
    let usual: [Tag.Name] = [.implicit, .seq, .map]
    guard usual.contains(where: { $0.rawValue == tag.description }) else {
      throw .syntax(place: place, reason: "YAML tags (`\(tag)`) are not supported")
    }
  }

  /// Yams' errors as one line each.
  private static func syntaxError(
    _ error: any Error, yaml: String, place: (Int) -> FieldPlace
  ) -> RecipeError {
    switch error as? YamlError {
    case .scanner(let context, let problem, let mark, _),
      .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
      let text = mark.line <= lines.count && mark.line > 0 ? lines[mark.line - 1] : ""
      let tabs = text.contains("\t") ? " (YAML is indented with spaces, not tabs)" : ""
      let around = context.map { $0.text + ": " } ?? ""
      return .syntax(place: place(mark.line), reason: "not valid YAML: \(around)\(problem)\(tabs)")
    case .duplicatedKeysInMapping(let keys, let context):
      let key = keys.first ?? ""
      return .syntax(
        place: place(context.mark.line), reason: "the key `\(key)` stands here twice")
    case .reader(let problem, _, _, _):
      return .syntax(place: place(1), reason: "not valid YAML: \(problem)")
    default:
      return .syntax(place: place(1), reason: "not valid YAML")
    }
  }
}

extension FieldValue.Kind {
  /// What an unquoted word means.
  init(plain word: String) {
    switch word {
    case "", "~", "null", "Null", "NULL": self = .null
    case "true", "True", "TRUE": self = .flag(true)
    case "false", "False", "FALSE": self = .flag(false)
    default: self = Self.number(word) ?? .text(word)
    }
  }

  // Made once: a pattern is compiled where it is written. Nothing of it changes when it is used.
  nonisolated(unsafe) private static let numberPattern =
    /[-+]?(\d[\d_]*)?(\.[\d_]*)?([eE][-+]?\d+)?/

  /// Decimal integers and numbers, `_` allowed between digits: `1_000`, `-2`, `3e-4`, `.5`.
  private static func number(_ word: String) -> Self? {
    guard let match = word.wholeMatch(of: numberPattern),
      match.output.1?.isEmpty == false || (match.output.2?.count ?? 0) > 1
    else { return nil }
    let digits = word.replacing("_", with: "")
    if match.output.2 == nil && match.output.3 == nil {
      // A leading zero means octal to some YAML readers and nothing to others.
      let whole = match.output.1 ?? ""
      if whole.count > 1 && whole.hasPrefix("0") { return nil }
      if let integer = Int(digits) { return .integer(integer) }
    }
    return Double(digits).flatMap { $0.isFinite ? .number($0) : nil }
  }
}
