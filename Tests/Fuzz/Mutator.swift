import TensorStorage

/// Makes inputs: valid ones, changed where formats break.
///
/// The same seed, parser and number always give the same input.
struct Mutator {
  private let corpus: [[UInt8]]
  private let words: [[UInt8]]
  private var random = CounterRandom(seed: 0, purpose: "")
  private var bytes: [UInt8] = []

  /// Bytes of an input at most.
  static let longest = 1 << 20

  /// Characters that mean something to some parser.
  private static let characters =
    Array("{}[]\",:=-+0123456789eE.\\/nftaINy &*|>#\n\t\u{0}".utf8)
    + [0xFF, 0x80, 0xC3, 0xED, 0xA0]

  /// Numbers at which sums, products and conversions break.
  private static let numbers = [
    "0", "-1", "-0", "1", "255", "65535", "65536", "2147483647", "2147483648", "4294967295",
    "4294967296", "1073741824", "9007199254740993", "1152921504606846976", "4611686018427387904",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551615",
    "18446744073709551616", "1e19", "1e308", "1e400", "-1e308", "0.5", "1e-320", "0x10", "1_000",
  ]

  /// Values that stand where another kind was expected.
  private static let values =
    numbers + [
      "null", "true", "false", "\"\"", "\"x\"", "[]", "{}", "[[]]", "NaN", "Infinity", "-Infinity",
      "\"\\u0000\"", "\"\\ud800\"", "[1, 2]", "{\"a\": 1}", "off", "auto", "~",
    ]

  /// What binary fields may hold.
  private static let patterns: [UInt64] = [
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
    0x1_0000_0000, 1 << 40, 1 << 48, 1 << 60, 1 << 62, (1 << 63) - 1, 1 << 63, .max - 1, .max,
  ]

  /// Inputs made of a parser's corpus.
  init(_ prepared: FuzzTarget.Prepared) {
    corpus = prepared.corpus
    words = (Self.values + prepared.words).map { Array($0.utf8) }
  }

  /// Input number `index`.
  mutating func input(seed: UInt64, parser: String, index: Int) -> [UInt8] {
    random = CounterRandom(seed: seed, purpose: "fuzz/" + parser, index: UInt64(index))
    bytes = corpus[random.below(corpus.count)]
    var changes = random.below(16) == 0 ? random.below(32) : 0
    repeat {
      change()
      changes -= 1
    } while changes > 0 || random.below(2) == 0
    if bytes.count > Self.longest { bytes.removeSubrange(Self.longest...) }
    return bytes
  }

  private mutating func change() {
    switch random.below(20) {
    case 0, 1: set { byte, random in byte ^ 1 << UInt8(random.below(8)) }
    case 2: set { _, random in UInt8(random.below(256)) }
    case 3: set { _, random in Self.characters[random.below(Self.characters.count)] }
    case 4: bytes.removeSubrange(span(64))
    case 5: insert(Array(bytes[span(64)]))
    case 6: bytes.removeSubrange(place()...)
    case 7: splice()
    case 8, 9: overwriteField()
    case 10, 11, 12: replaceNumber()
    case 13, 14: replaceValue()
    case 15: insert(words[random.below(words.count)])
    case 16: repeatMember()
    case 17: stretch()
    default: addToField()
    }
  }

  // MARK: Places

  /// A place between bytes.
  private mutating func place() -> Int { random.below(bytes.count + 1) }

  /// A stretch of at most `longest` bytes.
  private mutating func span(_ longest: Int) -> Range<Int> {
    let start = place()
    return start..<min(start + random.below(longest + 1), bytes.count)
  }

  private mutating func insert(_ part: [UInt8]) { bytes.insert(contentsOf: part, at: place()) }

  private mutating func set(_ change: (UInt8, inout CounterRandom) -> UInt8) {
    guard !bytes.isEmpty else { return }
    let index = random.below(bytes.count)
    bytes[index] = change(bytes[index], &random)
  }

  // MARK: Changes

  /// The start of one input and the end of another.
  private mutating func splice() {
    let other = corpus[random.below(corpus.count)]
    bytes = Array(bytes[..<place()] + other[random.below(other.count + 1)...])
  }

  /// A field of 1, 2, 4 or 8 bytes, at a multiple of its size or anywhere.
  private mutating func field() -> Range<Int>? {
    let width = 1 << random.below(4)
    guard bytes.count >= width else { return nil }
    var start = random.below(bytes.count - width + 1)
    if random.below(2) == 0 { start -= start % width }
    return start..<(start + width)
  }

  private mutating func overwriteField() {
    guard let field = field() else { return }
    let pattern = Self.patterns[random.below(Self.patterns.count)]
    for (place, index) in field.enumerated() {
      bytes[index] = UInt8(truncatingIfNeeded: pattern >> UInt64(8 * place))
    }
  }

  /// Adds a small number to a field, so that sizes are wrong by little.
  private mutating func addToField() {
    guard let field = field() else { return }
    var carry = random.below(33) - 16
    for index in field {
      carry += Int(bytes[index])
      bytes[index] = UInt8(truncatingIfNeeded: carry)
      carry >>= 8
    }
  }

  /// Replaces the next number in the text.
  private mutating func replaceNumber() {
    let start = place()
    let isDigit: (UInt8) -> Bool = { (0x30...0x39).contains($0) }
    guard
      let first = bytes[start...].firstIndex(where: isDigit) ?? bytes.firstIndex(where: isDigit)
    else { return }
    let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
    bytes.replaceSubrange(first..<end, with: Self.numbers[random.below(Self.numbers.count)].utf8)
  }

  /// Replaces what stands between two of the characters that separate values.
  private mutating func replaceValue() {
    let isBorder: (UInt8) -> Bool = { ":,=[{}]\n".utf8.contains($0) }
    let start = bytes[place()...].firstIndex(where: isBorder).map { $0 + 1 } ?? 0
    let end = bytes[start...].firstIndex(where: isBorder) ?? bytes.count
    bytes.replaceSubrange(start..<end, with: words[random.below(words.count)])
  }

  /// Writes a member, element or line a second time.
  private mutating func repeatMember() {
    let isBorder: (UInt8) -> Bool = { $0 == 0x2C || $0 == 0x0A }
    guard let start = bytes[place()...].firstIndex(where: isBorder) else { return }
    let end = bytes[(start + 1)...].firstIndex(where: isBorder) ?? bytes.count
    bytes.insert(contentsOf: Array(bytes[start..<end]), at: end)
  }

  /// Puts in much of one thing: nesting, a long text, zeros.
  private mutating func stretch() {
    let count = 1 << random.below(random.below(8) == 0 ? 17 : 8)
    let parts = [
      "[", "{\"a\":", "]", "}", "- ", "  ", "x", "\u{0}", "9", "\n", "[[", "\"", "a,", "\u{E9}",
    ]
    let part = Array(parts[random.below(parts.count)].utf8)
    insert(Array(repeatElement(part, count: count).joined()))
  }
}
