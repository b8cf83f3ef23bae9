/// A set of Unicode scalars: sorted ranges that neither overlap nor touch.
package struct ScalarSet: Hashable, Sendable {
  package private(set) var ranges: [ClosedRange<UInt32>]

  package static let empty = ScalarSet(ranges: [])

  private init(ranges: [ClosedRange<UInt32>]) { self.ranges = ranges }

  /// The scalars of any ranges.
  package init(_ ranges: some Sequence<ClosedRange<UInt32>>) {
    self.ranges = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = self.ranges.last, range.lowerBound <= last.upperBound &+ 1 {
        let end = max(last.upperBound, range.upperBound)
        self.ranges[self.ranges.count - 1] = last.lowerBound...end
      } else {
        self.ranges.append(range)
      }
    }
  }

  /// The one scalar.
  init(_ scalar: UInt32) { self.init(ranges: [scalar...scalar]) }

  func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

  /// All scalars that are not in the set.
  package var inverted: ScalarSet {
    var result: [ClosedRange<UInt32>] = []
    var start: UInt32 = 0
    for range in ranges {
      if range.lowerBound > start { result.append(start...(range.lowerBound - 1)) }
      start = range.upperBound + 1
    }
    if start <= 0x10FFFF { result.append(start...0x10FFFF) }
    return ScalarSet(ranges: result)
  }

  package func contains(_ scalar: UInt32) -> Bool {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < scalar { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].lowerBound <= scalar
  }
}

// MARK: - Sets that Unicode defines

extension ScalarSet {
  /// `\s`: what Unicode calls white space, the same in all its versions.
  static let whiteSpace = ScalarSet([
    0x09...0x0D, 0x20...0x20, 0x85...0x85, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A,
    0x2028...0x2029, 0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000,
  ])

  /// What the pre-tokenizer `Digits` calls numeric.
  static let numeric = ScalarSet(UnicodeTables.runs(UnicodeTables.numeric))

  /// What the pre-tokenizer `Punctuation` looks for.
  static let punctuation = ScalarSet(UnicodeTables.runs(UnicodeTables.punctuation))

  /// What may stand in a word: tokens with `single_word` keep a distance from it.
  static let wordCharacters = ScalarSet(UnicodeTables.runs(UnicodeTables.wordCharacters))

  /// The scalars of each general category, as patterns know them.
  private static let categories: [String: ScalarSet] = {
    let names = UnicodeTables.categoryNames.split(separator: " ").map(String.init)
    var ranges = [[ClosedRange<UInt32>]](repeating: [], count: names.count)
    var start: UInt32 = 0
    for entry in UnicodeTables.entries(UnicodeTables.categories) {
      ranges[Int(entry[0])].append(start...(start + entry[1] - 1))
      start += entry[1]
    }
    return Dictionary(uniqueKeysWithValues: zip(names, ranges.map { ScalarSet($0) }))
  }()

  /// The scalars of a category (`Lu`) or of a group of categories (`L`); nil for unknown names.
  package init?(category name: String) {
    let members = Self.categories.filter { $0.key == name || $0.key.prefix(1) == name }
    guard !members.isEmpty else { return nil }
    self.init(members.values.flatMap(\.ranges))
  }
}

// MARK: - Reading the tables

extension UnicodeTables {
  /// A table's entries: numbers in hexadecimal.
  static func entries(_ table: String) -> [[UInt32]] {
    var result: [[UInt32]] = []
    var numbers: [UInt32] = []
    var number: UInt32 = 0
    for byte in (table + "\n").utf8 {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt32(byte - 0x30)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): number = number << 4 | UInt32(byte - 0x37)
      case UInt8(ascii: ","):
        numbers.append(number)
        number = 0
      default:
        numbers.append(number)
        result.append(numbers)
        numbers.removeAll(keepingCapacity: true)
        number = 0
      }
    }
    return result
  }

  /// A table of runs: the first scalar of each and their number.
  static func runs(_ table: String) -> [ClosedRange<UInt32>] {
    entries(table).map { $0[0]...($0[0] + $0[1] - 1) }
  }
}
