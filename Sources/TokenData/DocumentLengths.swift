/// How many tokens the documents of a data set have.
public struct DocumentLengths {
  /// The lengths of documents with tokens, ascending.
  private let sorted: [Int]

  /// Documents without tokens.
  public let emptyCount: Int

  /// Measures the documents of some files; reads their indices.
  public init(_ files: [MegatronTokens]) {
    sorted = files.flatMap { file in file.documents.map(\.count) }.sorted()
    emptyCount = files.reduce(0) { $0 + $1.documentCount - $1.documentStarts.count }
  }

  /// The smallest length that `percent` percent of the documents do not exceed, 0 being the shortest one.
  ///
  /// By nearest rank; nil where no document has tokens.
  ///
  /// - Precondition: `0 <= percent <= 100`.
  public func percentile(_ percent: Int) -> Int? {
    guard !sorted.isEmpty else { return nil }
    return sorted[max((sorted.count * percent + 99) / 100, 1) - 1]
  }

  /// The mean length; nil where no document has tokens.
  public var mean: Double? {
    sorted.isEmpty ? nil : Double(sorted.reduce(0, +)) / Double(sorted.count)
  }

  /// How many documents have lengths from one power of two to the next, from the shortest to the longest.
  public var histogram: [(lengths: ClosedRange<Int>, documents: Int)] {
    guard let shortest = sorted.first, let longest = sorted.last else { return [] }
    func bin(_ length: Int) -> Int { Int.bitWidth - 1 - length.leadingZeroBitCount }
    var counts = [Int](repeating: 0, count: bin(longest) + 1)
    for length in sorted { counts[bin(length)] += 1 }
    return (bin(shortest)...bin(longest)).map { ((1 << $0)...((2 << $0) - 1), counts[$0]) }
  }
}
