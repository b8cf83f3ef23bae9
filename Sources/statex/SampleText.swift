import Foundation
import TokenData

/// A sample as a few lines for a terminal: its tokens in order, those that count as targets marked.
///
/// Counted targets are coloured on a terminal and stand in brackets elsewhere. A target that does not follow its
/// input in the sample stands behind an arrow after it. Long stretches in which nothing counts, and padding,
/// are left out and counted.
struct SampleText {
  /// How counted targets are marked.
  enum Style {
    case colour, brackets

    /// What suits standard output.
    static var standard: Style { isatty(STDOUT_FILENO) == 1 ? .colour : .brackets }
  }

  /// A token of the row of inputs and of what follows the last one.
  private struct Token {
    var id: Int32
    var counts: Bool
    /// A counted target that is not the next token.
    var answer: Int32?
    var isMarked: Bool { counts || answer != nil }
  }

  /// Text that counts or does not.
  private struct Piece {
    var text: String
    var counts: Bool
  }

  /// Columns that a line may have.
  static let width = 80
  private static let indent = "    "
  /// Tokens shown before and after those that count.
  private static let surroundings = 24

  let tokenizer: (any Tokenizer)?
  /// Tokens of a sample that are shown at most, about; 0 for all.
  let limit: Int
  let style: Style

  /// The lines of a sample.
  func lines(inputs: [Int32], targets: [Int32], weights: [Float]) -> String {
    wrapped(pieces(Self.row(inputs, targets, weights)))
  }

  /// The lines of a document, of which nothing is marked.
  func lines(document: [Int32]) -> String {
    wrapped(pieces(document.map { Token(id: $0, counts: false) }))
  }

  private static func row(
    _ inputs: [Int32], _ targets: [Int32], _ weights: [Float]
  ) -> [Token] {
    var row = inputs.map { Token(id: $0, counts: false) }
    for (t, target) in targets.enumerated() where weights[t] > 0 {
      if t + 1 == inputs.count {
        row.append(Token(id: target, counts: true))
      } else if inputs[t + 1] == target {
        row[t + 1].counts = true
      } else {
        row[t].answer = target
      }
    }
    return row
  }

  // MARK: What is shown

  /// The row without padding at its end, and without most of what does not count where it is long.
  private func pieces(_ row: [Token]) -> [Piece] {
    var end = row.count
    while end > 0, !row[end - 1].isMarked, row[end - 1].id == row.last?.id { end -= 1 }
    let padding = row.count - end
    let isPadded = padding > 4
    let shown = visible(Array(row[..<(isPadded ? end : row.count)]))
    var pieces: [Piece] = []
    var last = 0
    for range in shown {
      if range.lowerBound > last { pieces.append(gap("\(range.lowerBound - last) tokens")) }
      pieces += text(row, range)
      last = range.upperBound
    }
    let rest = (isPadded ? end : row.count) - last
    if rest > 0 { pieces.append(gap("\(rest) tokens")) }
    if isPadded, let id = row.last?.id { pieces.append(gap("\(padding) x id \(id)")) }
    return pieces
  }

  private func gap(_ what: String) -> Piece { Piece(text: " ...(\(what))... ", counts: false) }

  /// Which tokens are shown, ascending.
  private func visible(_ row: [Token]) -> [Range<Int>] {
    guard limit > 0, row.count > limit else { return row.isEmpty ? [] : [0..<row.count] }
    let marked = row.indices.filter { row[$0].isMarked }
    guard let firstMarked = marked.first, marked.count < row.count / 2 else {
      return [0..<limit]
    }
    var shown = [0..<min(Self.surroundings, row.count)]
    var count = Self.surroundings
    var start = firstMarked
    for (index, position) in marked.enumerated() where count < limit {
      let next = index + 1 < marked.count ? marked[index + 1] : row.count
      guard next > position + 2 * Self.surroundings || index + 1 == marked.count else { continue }
      let from = max(start - Self.surroundings, shown[shown.count - 1].upperBound)
      let to = min(position + 1 + Self.surroundings / 4, row.count)
      if from < to { shown.append(from..<to) }
      count += max(to - from, 0)
      start = next
    }
    return limited(shown)
  }

  /// The first of some ranges, ascending, that have `limit` tokens; those that touch become one.
  private func limited(_ ranges: [Range<Int>]) -> [Range<Int>] {
    var left = limit
    return ranges.reduce(into: []) { merged, range in
      let part = range.prefix(left)
      left -= part.count
      guard let first = part.first, let last = part.last else { return }
      if let before = merged.last, before.upperBound >= first {
        merged[merged.count - 1] = before.lowerBound..<(last + 1)
      } else {
        merged.append(first..<(last + 1))
      }
    }
  }

  // MARK: Text

  /// The text of some tokens, one piece for each run that counts or does not.
  private func text(_ row: [Token], _ range: Range<Int>) -> [Piece] {
    var pieces: [Piece] = []
    var start = range.lowerBound
    while start < range.upperBound {
      var end = start + 1
      while end < range.upperBound, row[end].counts == row[start].counts,
        row[end - 1].answer == nil
      {
        end += 1
      }
      let before = row[max(range.lowerBound, start - 8)..<start].map(\.id)
      pieces.append(
        Piece(text: decode(row[start..<end].map(\.id), after: before), counts: row[start].counts))
      if let answer = row[end - 1].answer {
        pieces.append(Piece(text: "->", counts: false))
        pieces.append(Piece(text: decode([answer], after: []), counts: true))
      }
      if tokenizer == nil, end < range.upperBound {
        pieces.append(Piece(text: " ", counts: false))
      }
      start = end
    }
    return pieces
  }

  /// The text of some ids after others, since decoders may drop a first space; ids where nothing decodes.
  private func decode(_ ids: [Int32], after before: [Int32]) -> String {
    guard let tokenizer else { return ids.map(String.init).joined(separator: " ") }
    let (head, whole) = (tokenizer.decode(before), tokenizer.decode(before + ids))
    let text = whole.hasPrefix(head) ? String(whole.dropFirst(head.count)) : tokenizer.decode(ids)
    return Self.escaped(text)
  }

  /// Text without control characters, which a terminal would obey.
  private static func escaped(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { result, scalar in
      switch scalar {
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case _ where scalar.properties.generalCategory == .control:
        result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
  }

  /// Lines of at most `width` columns, broken at spaces where there are any.
  private func wrapped(_ pieces: [Piece]) -> String {
    let marks = pieces.flatMap { piece -> [(Character, Bool)] in
      let text = piece.counts && style == .brackets ? "[" + piece.text + "]" : piece.text
      return text.map { ($0, piece.counts) }
    }
    var lines: [String] = []
    var rest = marks[...]
    while !rest.isEmpty {
      var line = rest.prefix(Self.width - Self.indent.count)
      if line.count < rest.count, let space = line.lastIndex(where: { $0.0 == " " }),
        space > line.startIndex
      {
        line = line[..<space]
      }
      lines.append(Self.indent + styled(line))
      rest = rest[line.endIndex...].drop { $0.0 == " " }
    }
    return lines.joined(separator: "\n")
  }

  private func styled(_ line: ArraySlice<(Character, Bool)>) -> String {
    guard style == .colour else { return String(line.map(\.0)) }
    var text = ""
    var isOn = false
    for (character, counts) in line {
      if counts != isOn { text += counts ? "\u{1B}[1;32m" : "\u{1B}[0m" }
      isOn = counts
      text.append(character)
    }
    return isOn ? text + "\u{1B}[0m" : text
  }
}
