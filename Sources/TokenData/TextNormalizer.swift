/// What becomes of a stretch of text before it is split: the normalisers of a `tokenizer.json`.
struct TextNormalizer: Sendable {
  /// One normaliser.
  enum Step: Sendable {
    case form(UnicodeNormalization.Form)
    case lowercase
    /// Drops white space at the ends.
    case strip(left: Bool, right: Bool)
    /// Puts a text in front of what is not empty.
    case prepend([UInt8])
    case replace(Pattern, by: [UInt8])
  }

  /// In the order in which they are applied.
  let steps: [Step]

  /// The normalised text, or nil when it stays as it is.
  func callAsFunction(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    var current: [UInt8]?
    for step in steps {
      if let text = current {
        if let next = text.withUnsafeBufferPointer({ Self.apply(step, $0) }) { current = next }
      } else {
        current = Self.apply(step, bytes)
      }
    }
    return current
  }

  /// The normalised text.
  func callAsFunction(_ text: [UInt8]) -> [UInt8] {
    text.withUnsafeBufferPointer { self($0) } ?? text
  }

  private static func apply(_ step: Step, _ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    switch step {
    case .form(let form): return UnicodeNormalization.to(form)(bytes)
    case .lowercase: return Lowercase.shared(bytes)
    case .strip(let left, let right): return stripped(bytes, left: left, right: right)
    case .prepend(let text): return bytes.isEmpty ? nil : text + bytes
    case .replace(let pattern, let text): return replaced(bytes, pattern, by: text)
    }
  }

  private static func stripped(
    _ bytes: UnsafeBufferPointer<UInt8>, left: Bool, right: Bool
  ) -> [UInt8]? {
    let end = right ? UTF8Scalars.endWithoutSpaces(bytes) : bytes.count
    let start = left ? UTF8Scalars.endOfSpaces(bytes, from: 0) : 0
    if start == 0 && end == bytes.count { return nil }
    return start < end ? Array(bytes[start..<end]) : []
  }

  private static func replaced(
    _ bytes: UnsafeBufferPointer<UInt8>, _ pattern: Pattern, by text: [UInt8]
  ) -> [UInt8]? {
    let scanner = pattern.scanner(bytes)
    guard var match = scanner.nextMatch(from: 0) else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count + bytes.count / 2)
    var copied = 0
    while true {
      result += UnsafeBufferPointer(rebasing: bytes[copied..<match.lowerBound])
      result += text
      copied = match.upperBound
      guard let next = scanner.nextMatch(from: copied) else { break }
      match = next
    }
    result += UnsafeBufferPointer(rebasing: bytes[copied...])
    withExtendedLifetime(pattern) {}
    return result
  }
}

/// Lower case, scalar by scalar, as the `tokenizers` library has it.
struct Lowercase: Sendable {
  static let shared = Lowercase()

  /// What each scalar becomes; those beyond the table's end stay.
  private var table: [UInt32]
  /// The ones that become several.
  private var expansions: [UInt32: [UInt32]] = [:]

  private init() {
    let runs = UnicodeTables.entries(UnicodeTables.lowercase)
    let end = runs.map { $0[0] + ($0[1] - 1) * $0[2] + 1 }.max() ?? 0
    table = Array(0..<end)
    for run in runs {
      for i in 0..<run[1] { table[Int(run[0] + i * run[2])] = run[3] + i * run[2] }
    }
    for entry in UnicodeTables.entries(UnicodeTables.lowercaseExpansions) {
      expansions[entry[0]] = Array(entry[1...])
      table[Int(entry[0])] = UInt32.max
    }
  }

  /// The text in lower case, or nil when it stays as it is.
  func callAsFunction(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var changes = false
    var offset = 0
    while offset < bytes.count {
      let (value, length) = UTF8Scalars.decode(bytes, offset)
      let lower = value < table.count ? table[Int(value)] : value
      if lower == value {
        for i in offset..<(offset + length) { result.append(bytes[i]) }
      } else {
        changes = true
        let parts = lower == UInt32.max ? expansions[value] ?? [] : [lower]
        for part in parts { UTF8Scalars.append(part, to: &result) }
      }
      offset += length
    }
    return changes ? result : nil
  }
}
