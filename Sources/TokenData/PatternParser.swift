/// A regular expression as `tokenizer.json` files use them, taken apart.
indirect enum PatternNode: Equatable {
  /// One scalar of a set.
  case set(ScalarSet)
  /// One after the other.
  case sequence([PatternNode])
  /// The first that lets the rest match.
  case choice([PatternNode])
  /// As often as possible between two limits; a possessive one gives nothing back.
  case repetition(PatternNode, least: Int, most: Int, isPossessive: Bool)
  /// `(?=[...])` or `(?![...])`: what the next scalar has to be, or must not be.
  case lookahead(ScalarSet, isNegative: Bool)
}

/// Reads the subset of Oniguruma's syntax that tokenizers need.
///
/// Known: literals, `\r \n \t \f \v \s \S \d \D \p{..} \P{..} \p{^..} \uHHHH \x{H..}`, sets with
/// ranges, negation and nested sets, `.`, groups `( ) (?: ) (?i: )`, `|`, the quantifiers
/// `? * + {n} {n,} {n,m}` and the possessive `?+ *+ ++`, and lookahead at one scalar. Everything
/// else is refused: anchors, lazy quantifiers, lookbehind, back references, repeated groups.
package struct PatternParser {
  /// What a pattern holds that is not known.
  package struct Failure: Error, Equatable {
    package let reason: String
  }

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var ignoresCase = false
  private var depth = 0

  /// Groups and sets within each other at most.
  private static let deepest = 64

  private init(_ text: String) { scalars = Array(text.unicodeScalars) }

  /// Takes a pattern apart.
  static func parse(_ text: String) throws(Failure) -> PatternNode {
    var parser = PatternParser(text)
    let node = try parser.choice()
    guard parser.position == parser.scalars.count else { throw parser.failure("a `)` too many") }
    return node
  }

  private func failure(_ reason: String) -> Failure {
    Failure(reason: "\(reason) at character \(position + 1)")
  }

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func take(_ text: String) -> Bool {
    let wanted = Array(text.unicodeScalars)
    guard scalars[position...].starts(with: wanted) else { return false }
    position += wanted.count
    return true
  }

  private mutating func expect(_ text: String) throws(Failure) {
    guard take(text) else { throw failure("no `\(text)`") }
  }

  private mutating func choice() throws(Failure) -> PatternNode {
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    guard branches.count < 256 else { throw failure("more than 255 alternatives") }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(Failure) -> PatternNode {
    var parts: [PatternNode] = []
    while let next, next != "|", next != ")" { parts.append(try repetition(of: try atom())) }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  // MARK: - Quantifiers

  private mutating func repetition(of node: PatternNode) throws(Failure) -> PatternNode {
    var (least, most) = (1, 1)
    let hasBraces = next == "{"
    if take("?") {
      least = 0
    } else if take("*") {
      (least, most) = (0, Int.max)
    } else if take("+") {
      most = Int.max
    } else if take("{") {
      least = try number()
      most = take(",") ? (next == "}" ? Int.max : try number()) : least
      try expect("}")
      guard least <= most, most > 0 else { throw failure("an empty repetition") }
    } else {
      return node
    }
    if next == "?" { throw failure("a lazy quantifier") }
    let isPossessive = !hasBraces && take("+")
    if let next, "?*+{".unicodeScalars.contains(next) { throw failure("a repeated repetition") }
    switch node {
    case .set: break
    case .lookahead: throw failure("a repeated lookahead")
    default: guard most == 1 else { throw failure("a repeated group") }
    }
    return .repetition(node, least: least, most: most, isPossessive: isPossessive)
  }

  private mutating func number() throws(Failure) -> Int {
    var digits = ""
    while let next, ("0"..."9").contains(next), digits.count < 6 {
      digits.unicodeScalars.append(next)
      position += 1
    }
    guard let value = Int(digits) else { throw failure("no number") }
    return value
  }

  // MARK: - Atoms

  private mutating func atom() throws(Failure) -> PatternNode {
    if take("(") { return try nested { (parser) throws(Failure) in try parser.group() } }
    if take("[") { return .set(try nested { (parser) throws(Failure) in try parser.set() }) }
    if take(".") { return .set(ScalarSet(0x0A).inverted) }
    if next == "\\" { return .set(try escape()) }
    guard let scalar = next else { throw failure("an end") }
    guard !"^$*+?{".unicodeScalars.contains(scalar) else {
      throw failure("`\(scalar)`")
    }
    position += 1
    return .set(try folded(ScalarSet(scalar.value)))
  }

  /// One level deeper; every group and every set is one.
  private mutating func nested<Value>(
    _ body: (inout PatternParser) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    guard depth < Self.deepest else {
      throw failure("more than \(Self.deepest) groups or sets within each other")
    }
    depth += 1
    let value = try body(&self)
    depth -= 1
    return value
  }

  private mutating func group() throws(Failure) -> PatternNode {
    for isNegative in [false, true] where take(isNegative ? "?!" : "?=") {
      guard case .set(let set) = try choice() else {
        throw failure("a lookahead at more than one character")
      }
      try expect(")")
      return .lookahead(set, isNegative: isNegative)
    }
    let before = ignoresCase
    if take("?i:") {
      ignoresCase = true
    } else if !take("?:"), next == "?" {
      throw failure("a group of an unknown kind")
    }
    let node = try choice()
    try expect(")")
    if ignoresCase { try refuseFoldedPairs(node) }
    ignoresCase = before
    return node
  }

  /// Both cases of a letter where case is ignored, with what else folds to it.
  private func folded(_ set: ScalarSet) throws(Failure) -> ScalarSet {
    guard ignoresCase else { return set }
    var result = set
    for range in set.ranges {
      guard range.upperBound < 0x80 else { throw failure("a letter beyond ASCII in `(?i:`") }
      for value in range {
        let isLetter = (0x41...0x5A).contains(value & ~0x20)
        if isLetter { result = result.union(ScalarSet(value ^ 0x20)) }
        // The long s and the Kelvin sign.
        if value | 0x20 == 0x73 { result = result.union(ScalarSet(0x17F)) }
        if value | 0x20 == 0x6B { result = result.union(ScalarSet(0x212A)) }
      }
    }
    return result
  }

  /// Refuses neighbours that a ligature or a sharp s would match as well.
  private func refuseFoldedPairs(_ node: PatternNode) throws(Failure) {
    switch node {
    case .choice(let branches): for branch in branches { try refuseFoldedPairs(branch) }
    case .sequence(let parts):
      for (first, second) in zip(parts, parts.dropFirst()) {
        guard case .set(let first) = first, case .set(let second) = second else { continue }
        for pair in ["ss", "st", "ff", "fi", "fl"] {
          let values = pair.unicodeScalars.map(\.value)
          if first.contains(values[0]), second.contains(values[1]) {
            throw failure("`\(pair)` in `(?i:`")
          }
        }
      }
    case .set, .repetition, .lookahead: break
    }
  }

  // MARK: - Sets

  private mutating func set() throws(Failure) -> ScalarSet {
    let isInverted = take("^")
    var result = ScalarSet.empty
    var isEmpty = true
    while let scalar = next, scalar != "]" || isEmpty {
      isEmpty = false
      if take("[") {
        if next == ":" { throw failure("a POSIX bracket") }
        result = result.union(try nested { (parser) throws(Failure) in try parser.set() })
        continue
      }
      if take("&&") { throw failure("an intersection of sets") }
      let first = try setMember()
      guard next == "-", position + 1 < scalars.count, scalars[position + 1] != "]",
        let low = first.ranges.first, first.ranges.count == 1, low.count == 1
      else {
        result = result.union(try folded(first))
        continue
      }
      position += 1
      let last = try setMember()
      guard let high = last.ranges.first, last.ranges.count == 1, high.count == 1,
        low.lowerBound <= high.lowerBound
      else { throw failure("a range that does not end") }
      result = result.union(try folded(ScalarSet([low.lowerBound...high.lowerBound])))
    }
    try expect("]")
    return isInverted ? result.inverted : result
  }

  private mutating func setMember() throws(Failure) -> ScalarSet {
    guard let scalar = next else { throw failure("a set without end") }
    if scalar == "\\" { return try escape() }
    position += 1
    return ScalarSet(scalar.value)
  }

  // MARK: - Escapes

  private mutating func escape() throws(Failure) -> ScalarSet {
    position += 1
    guard let scalar = next else { throw failure("a backslash at the end") }
    position += 1
    switch scalar {
    case "r": return ScalarSet(0x0D)
    case "n": return ScalarSet(0x0A)
    case "t": return ScalarSet(0x09)
    case "f": return ScalarSet(0x0C)
    case "v": return ScalarSet(0x0B)
    case "s": return .whiteSpace
    case "S": return ScalarSet.whiteSpace.inverted
    case "d", "D": return try property("Nd", isInverted: scalar == "D")
    case "p", "P": return try property(isInverted: scalar == "P")
    case "u": return try scalarValue(digits: 4)
    case "x":
      try expect("{")
      let set = try scalarValue(digits: 8)
      try expect("}")
      return set
    case _ where scalar.value < 0x80 && !scalar.properties.isAlphabetic && !("0"..."9" ~= scalar):
      return ScalarSet(scalar.value)
    default:
      throw failure("`\\\(scalar)`")
    }
  }

  private mutating func property(isInverted: Bool) throws(Failure) -> ScalarSet {
    try expect("{")
    var isInverted = isInverted
    if take("^") { isInverted.toggle() }
    var name = ""
    while let scalar = next, scalar != "}" {
      name.unicodeScalars.append(scalar)
      position += 1
    }
    try expect("}")
    return try property(name, isInverted: isInverted)
  }

  private func property(_ name: String, isInverted: Bool) throws(Failure) -> ScalarSet {
    guard let set = ScalarSet(category: name) else { throw failure("`\\p{\(name)}`") }
    return isInverted ? set.inverted : set
  }

  private mutating func scalarValue(digits: Int) throws(Failure) -> ScalarSet {
    var text = ""
    while let scalar = next, scalar.properties.isASCIIHexDigit, text.count < digits {
      text.unicodeScalars.append(scalar)
      position += 1
    }
    guard let value = UInt32(text, radix: 16), Unicode.Scalar(value) != nil else {
      throw failure("no character number")
    }
    return ScalarSet(value)
  }
}
