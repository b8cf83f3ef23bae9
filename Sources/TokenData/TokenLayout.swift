/// Where the tokens of a file stand, and where documents begin.
protocol TokenLayout {
  /// How tokens are stored.
  var element: TokenElement { get }
  /// Sequences, for people.
  var sequenceCount: Int { get }
  /// Documents, empty ones included.
  var documentCount: Int { get }
  /// Tokens in all.
  var tokenCount: Int { get }
  /// Stretches that are contiguous in the token file, in order.
  var runs: [MegatronTokens.Run] { get }

  /// The tokens before each document that is not empty, ascending.
  func documentStarts() -> [Int]

  /// The number of the document that holds a token.
  func document(ofToken token: Int) -> Int
}

extension MegatronIndex: TokenLayout {}

/// Some documents of another layout, one after the other.
struct DocumentSelection: TokenLayout {
  let element: TokenElement
  let sequenceCount: Int
  let documentCount: Int
  let tokenCount: Int
  let runs: [MegatronTokens.Run]
  private let starts: [Int]
  /// The numbers that the documents have in the whole file.
  private let numbers: [Int]

  /// The documents of `tokens` that `isSelected` says yes to, asked with the positions of their tokens.
  init(_ tokens: MegatronTokens, _ isSelected: (Range<Int>) -> Bool) {
    element = tokens.element
    let all = tokens.documentStarts
    var (starts, numbers, runs): ([Int], [Int], [MegatronTokens.Run]) = ([], [], [])
    var (count, expected) = (0, -1)
    for (number, start) in all.enumerated() {
      let range = start..<(number + 1 < all.count ? all[number + 1] : tokens.tokenCount)
      guard isSelected(range) else { continue }
      starts.append(count)
      numbers.append(tokens.documentNumber(number))
      tokens.forEachStretch(of: range) { fileOffset, length in
        if fileOffset != expected { runs.append(.init(start: count, fileOffset: fileOffset)) }
        expected = fileOffset + length
        count += length
      }
    }
    (self.starts, self.numbers, self.runs) = (starts, numbers, runs)
    (sequenceCount, documentCount, tokenCount) = (starts.count, starts.count, count)
  }

  func documentStarts() -> [Int] { starts }

  func document(ofToken token: Int) -> Int {
    let index = starts.partitioningIndex { $0 > token } - 1
    return numbers.indices.contains(index) ? numbers[index] : 0
  }

  /// The number that the document at `index` has in the whole file.
  func number(_ index: Int) -> Int { numbers[index] }
}
