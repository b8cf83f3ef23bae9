/// Unicode's normalisation forms (UAX #15), with the tables of the `tokenizers` library.
struct UnicodeNormalization: Sendable {
  /// What becomes of a text.
  enum Form: String, Sendable {
    /// Decomposed; decomposed and composed again.
    case d = "NFD"
    case c = "NFC"
    /// The same, with characters that are only variants replaced.
    case kd = "NFKD"
    case kc = "NFKC"

    fileprivate var composes: Bool { self == .c || self == .kc }
    fileprivate var replacesVariants: Bool { self == .kc || self == .kd }
  }

  /// Hangul syllables are computed: leading `L`, vowel `V` and trailing `T` jamo.
  private enum Hangul {
    static let syllables: UInt32 = 0xAC00
    static let (l, v, t): (UInt32, UInt32, UInt32) = (0x1100, 0x1161, 0x11A7)
    static let (leading, vowels, trailing): (UInt32, UInt32, UInt32) = (19, 21, 28)
    static let count = leading * vowels * trailing
  }

  private static let formC = UnicodeNormalization(form: .c)
  private static let formD = UnicodeNormalization(form: .d)
  private static let formKC = UnicodeNormalization(form: .kc)
  private static let formKD = UnicodeNormalization(form: .kd)

  /// The one of a form; its tables are read once.
  static func to(_ form: Form) -> UnicodeNormalization {
    switch form {
    case .c: formC
    case .d: formD
    case .kc: formKC
    case .kd: formKD
    }
  }

  private let form: Form
  /// What a scalar decomposes into completely.
  private var decompositions: [UInt32: [UInt32]] = [:]
  /// What two scalars compose to; the first one is the key's upper half.
  private var compositions: [UInt64: UInt32] = [:]
  /// Combining classes that are not 0.
  private var classes: [UInt32: UInt8] = [:]
  /// A bit for each scalar below `restart`: whether it may change, or change what stands before it.
  private var active = [UInt64](repeating: 0, count: Int(restart / 64))

  /// No scalar from here on takes part in normalisation.
  private static let restart: UInt32 = 0x30000

  /// Reads the tables.
  private init(form: Form) {
    self.form = form
    for entry in UnicodeTables.entries(UnicodeTables.combiningClasses) {
      for mark in entry[0]..<(entry[0] + entry[1]) {
        classes[mark] = UInt8(entry[2])
        activate(mark)
      }
    }
    for entry in UnicodeTables.entries(UnicodeTables.decompositions) {
      decompositions[entry[0]] = Array(entry[1...])
      activate(entry[0])
    }
    let pairs = UnicodeTables.entries(UnicodeTables.compositions)
    for entry in pairs {
      compositions[UInt64(entry[1]) << 32 | UInt64(entry[2])] = entry[0]
      activate(form.composes ? entry[2] : entry[0])
    }
    for entry in pairs { decompositions[entry[0]] = Array(entry[1...]) }
    // The first of a pair may itself be a composition; nesting is at most three deep.
    for entry in pairs {
      var parts = Array(entry[1...])
      while let first = decompositions[parts[0]] { parts.replaceSubrange(0..<1, with: first) }
      decompositions[entry[0]] = parts
    }
    if form.replacesVariants {
      for entry in UnicodeTables.entries(UnicodeTables.compatibility) {
        decompositions[entry[0]] = Array(entry[1...])
        activate(entry[0])
      }
    }
    let syllables = Hangul.syllables..<(Hangul.syllables + Hangul.count)
    if !form.composes { for syllable in syllables { activate(syllable) } }
    for jamo in Hangul.v..<(Hangul.v + Hangul.vowels) { activate(jamo) }
    for jamo in (Hangul.t + 1)..<(Hangul.t + Hangul.trailing) { activate(jamo) }
  }

  private mutating func activate(_ value: UInt32) {
    active[Int(value / 64)] |= 1 << UInt64(value % 64)
  }

  /// The normalised text, or nil when it is normalised already as it stands.
  ///
  /// Looks at each scalar once, and does more only for those that may change and the one before them.
  func callAsFunction(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
    let mayChange = active.withUnsafeBufferPointer { active in
      var offset = 0
      while offset < bytes.count {
        if bytes[offset] < 0x80 {
          offset += 1
          continue
        }
        let (value, length) = UTF8Scalars.decode(bytes, offset)
        if value < Self.restart, active[Int(value / 64)] >> UInt64(value % 64) & 1 == 1 {
          return true
        }
        offset += length
      }
      return false
    }
    return mayChange ? normalized(bytes) : nil
  }

  private func isActive(_ value: UInt32) -> Bool {
    value < Self.restart && active[Int(value / 64)] >> UInt64(value % 64) & 1 == 1
  }

  /// Normalises each active scalar with the inert one before it; the others are copied.
  private func normalized(_ bytes: UnsafeBufferPointer<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var cluster: [UInt32] = []
    var (copied, offset) = (0, 0)
    while offset < bytes.count {
      let first = offset
      cluster.removeAll(keepingCapacity: true)
      while offset < bytes.count {
        let (value, length) = UTF8Scalars.decode(bytes, offset)
        if !cluster.isEmpty && !isActive(value) { break }
        cluster.append(value)
        offset += length
      }
      guard cluster.count > 1 || isActive(cluster[0]) else { continue }
      result += bytes[copied..<first]
      let decomposed = ordered(decomposed(cluster))
      for value in form.composes ? composed(decomposed) : decomposed {
        if let scalar = Unicode.Scalar(value) { result += scalar.utf8 }
      }
      copied = offset
    }
    return result + bytes[copied...]
  }

  private func decomposed(_ scalars: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    for scalar in scalars {
      if scalar &- Hangul.syllables < Hangul.count {
        let index = scalar - Hangul.syllables
        let (pair, t) = index.quotientAndRemainder(dividingBy: Hangul.trailing)
        result += [Hangul.l + pair / Hangul.vowels, Hangul.v + pair % Hangul.vowels]
        if t > 0 { result.append(Hangul.t + t) }
      } else if let parts = decompositions[scalar] {
        result += parts
      } else {
        result.append(scalar)
      }
    }
    return result
  }

  /// Sorts neighbouring marks by combining class; equal ones keep their order.
  private func ordered(_ scalars: [UInt32]) -> [UInt32] {
    var result = scalars
    for last in result.indices {
      let mark = result[last]
      guard let own = classes[mark] else { continue }
      var place = last
      while place > 0, let before = classes[result[place - 1]], before > own {
        result[place] = result[place - 1]
        place -= 1
      }
      result[place] = mark
    }
    return result
  }

  /// Composes every scalar that is not blocked with the last starter before it.
  private func composed(_ scalars: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    var starter: Int?
    for scalar in scalars {
      let own = classes[scalar] ?? 0
      if let starter {
        let before = result.count - 1 == starter ? nil : classes[result[result.count - 1]] ?? 0
        if before.map({ $0 != 0 && $0 < own }) ?? true,
          let pair = composition(result[starter], scalar)
        {
          result[starter] = pair
          continue
        }
      }
      if own == 0 { starter = result.count }
      result.append(scalar)
    }
    return result
  }

  private func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
    let (l, v) = (first &- Hangul.l, second &- Hangul.v)
    if l < Hangul.leading && v < Hangul.vowels {
      return Hangul.syllables + (l * Hangul.vowels + v) * Hangul.trailing
    }
    let (lv, t) = (first &- Hangul.syllables, second &- Hangul.t)
    if lv < Hangul.count && lv % Hangul.trailing == 0 && t > 0 && t < Hangul.trailing {
      return first + t
    }
    return compositions[UInt64(first) << 32 | UInt64(second)]
  }
}
