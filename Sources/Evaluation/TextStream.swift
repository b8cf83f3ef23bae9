import TokenData

/// Turns generated ids into text as they come, up to the first of some stop texts.
///
/// Text is handed out once nothing can change it: whole characters, and nothing that may be the beginning of
/// a stop text. All pieces together are what decoding all ids at once gives, cut at the stop.
public struct TextStream {
  /// Whether a stop text has come; what follows is ignored.
  public private(set) var isStopped = false

  private let tokenizer: any Tokenizer
  private let stops: [[UInt8]]
  private var ids: [Int32] = []
  /// Ids before `start` need not be decoded any more; the text of those before `read` was taken.
  private var (start, read) = (0, 0)
  /// Text that may be the beginning of a stop text.
  private var held: [UInt8] = []

  /// A stream without text; empty stop texts are left out.
  public init(_ tokenizer: any Tokenizer, stops: [String] = []) {
    self.tokenizer = tokenizer
    self.stops = stops.filter { !$0.isEmpty }.map { Array($0.utf8) }
  }

  /// Takes the next id.
  ///
  /// - Returns: text that is certain now, often none.
  public mutating func append(_ id: Int32) -> String {
    guard !isStopped else { return "" }
    ids.append(id)
    return take(isEnd: false)
  }

  /// The text that was still held back.
  public mutating func finish() -> String { isStopped ? "" : take(isEnd: true) }

  private mutating func take(isEnd: Bool) -> String {
    // Decoded together with ids whose text is known, as a tokenizer may join neighbours.
    let known = Array(tokenizer.decode(Array(ids[start..<read])).utf8)
    let text = Array(tokenizer.decode(Array(ids[start...])).utf8)
    let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]
    let isWhole = text.count > known.count && !text.suffix(3).elementsEqual(replacement)
    if isWhole || isEnd {
      held += text.dropFirst(known.count)
      (start, read) = (read, ids.count)
    }
    if let stop = firstStop(stops, in: held) {
      isStopped = true
      held = Array(held[..<stop])
    }
    let kept = isEnd || isStopped ? 0 : beginningOfStop()
    defer { held.removeFirst(held.count - kept) }
    return String(decoding: held.dropLast(kept), as: UTF8.self)
  }

  /// Bytes at the end of the text that a stop text may begin with.
  private func beginningOfStop() -> Int {
    let longest = (stops.map(\.count).max() ?? 0) - 1
    return (1...max(1, min(longest, held.count))).reversed().first { count in
      stops.contains { $0.count > count && held.suffix(count).elementsEqual($0.prefix(count)) }
    } ?? 0
  }
}

/// Where the first of some texts begins in another, all as UTF-8.
///
/// By bytes, not by characters: a line feed is one also after a carriage return.
func firstStop(_ stops: [[UInt8]], in text: [UInt8]) -> Int? {
  stops.compactMap { text.firstRange(of: $0)?.lowerBound }.min()
}
