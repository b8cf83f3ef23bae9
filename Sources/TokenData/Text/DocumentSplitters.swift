import Foundation

/// Documents that are one line each.
struct LineSplitter: DocumentSplitter {
  private var line = 0
  /// Whether the rest of a line that is too long is being passed over.
  private var isPassingOver = false

  mutating func split(
    _ bytes: UnsafeRawBufferPointer, isLast: Bool, into units: inout [DocumentBatch.Unit]
  ) -> Int {
    var start = 0
    while start < bytes.count, let end = Self.lineEnd(bytes, from: start) {
      append(start..<end, to: &units)
      start = end + 1
    }
    if isLast && start < bytes.count {
      append(start..<bytes.count, to: &units)
      start = bytes.count
    }
    return isPassingOver ? bytes.count : start
  }

  private mutating func append(_ range: Range<Int>, to units: inout [DocumentBatch.Unit]) {
    guard !isPassingOver else {
      isPassingOver = false
      return
    }
    line += 1
    units.append(.init(range: range, line: line))
  }

  mutating func passOver() -> DocumentBatch.Unit {
    line += 1
    isPassingOver = true
    return .init(range: 0..<0, line: line)
  }

  /// Where the next newline is.
  static func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
    guard let base = bytes.baseAddress,
      let found = memchr(base + start, 0x0A, bytes.count - start)
    else { return nil }
    return UnsafeRawPointer(found) - base
  }
}

/// Documents that are the elements of a JSON array, or JSON objects one after the other, however they are
/// spread over lines.
///
/// It only counts brackets outside of strings: what stands between them is checked by who reads the document.
/// A line that ends inside a string ends the document, which is none then, so that one damaged line does not
/// take all others with it.
struct JSONSplitter: DocumentSplitter {
  private var line = 1
  /// Brackets that are open, without the array's own.
  private var depth = 0
  private var (isInside, isInString) = (false, false)
  /// Bytes at the start that were looked at already; they belong to an incomplete document.
  private var seen = 0
  /// Where the incomplete document begins.
  private var first = (line: 1, column: 1)
  /// Where the line that is being looked at begins, counted from the start of the bytes; it may be before.
  private var lineStart = 0
  private var (hasBegun, isArray, hasEnded) = (false, false, false)
  private var isPassingOver = false

  mutating func split(
    _ bytes: UnsafeRawBufferPointer, isLast: Bool, into units: inout [DocumentBatch.Unit]
  ) -> Int {
    var (start, i) = (0, seen)
    while i < bytes.count {
      if !isInside {
        guard !isBetween(bytes[i], i) else {
          i += 1
          continue
        }
        (start, first, isInside) = (i, (line, i - lineStart + 1), true)
      }
      guard let length = step(bytes, i) else { break }
      i += length
      if !isInside { finish(start..<i, &units) }
    }
    if isLast { end(start..<bytes.count, &units) }
    let done = isInside && !isPassingOver ? start : i
    (seen, lineStart) = (i - done, lineStart - done)
    return done
  }

  /// Looks at the next byte of a document, which may end it.
  ///
  /// - Returns: how many bytes that are; nil when an escape's second one has not come in.
  private mutating func step(_ bytes: UnsafeRawBufferPointer, _ i: Int) -> Int? {
    switch (bytes[i], isInString) {
    case (UInt8(ascii: "\n"), _):
      beginLine(after: i)
      isInside = !(isInString || depth == 0)
    case (UInt8(ascii: "\\"), true): return i + 1 < bytes.count ? 2 : nil
    case (UInt8(ascii: "\""), _): isInString.toggle()
    case (_, true): break
    case (UInt8(ascii: ","), _) where depth == 0: isInside = false
    case (UInt8(ascii: "{"), _), (UInt8(ascii: "["), _): depth += 1
    case (UInt8(ascii: "}"), _), (UInt8(ascii: "]"), _):
      depth -= 1
      isInside = depth > 0
    default: break
    }
    return 1
  }

  private mutating func finish(_ range: Range<Int>, _ units: inout [DocumentBatch.Unit]) {
    if !isPassingOver {
      units.append(.init(range: range, line: first.line, column: first.column))
    }
    (isPassingOver, isInside, isInString, depth) = (false, false, false, 0)
  }

  /// What is left when nothing follows.
  private mutating func end(_ rest: Range<Int>, _ units: inout [DocumentBatch.Unit]) {
    if isInside { finish(rest, &units) }
    guard isArray, !hasEnded else { return }
    units.append(
      .init(range: 0..<0, line: line, problem: "the array has no end; was the file cut?"))
  }

  /// Whether a byte outside of all documents is what may stand there.
  private mutating func isBetween(_ byte: UInt8, _ i: Int) -> Bool {
    switch byte {
    case 0x0A:
      beginLine(after: i)
      return true
    case 0x20, 0x09, 0x0D: return true
    case UInt8(ascii: "[") where !hasBegun:
      (isArray, hasBegun) = (true, true)
      return true
    case UInt8(ascii: ",") where isArray && !hasEnded: return true
    case UInt8(ascii: "]") where isArray && !hasEnded:
      hasEnded = true
      return true
    default:
      hasBegun = true
      return false
    }
  }

  private mutating func beginLine(after i: Int) {
    line += 1
    lineStart = i + 1
  }

  mutating func passOver() -> DocumentBatch.Unit {
    isPassingOver = true
    return .init(range: 0..<0, line: first.line, column: first.column)
  }
}

/// A file that is one document.
struct WholeSplitter: DocumentSplitter {
  private var isPassingOver = false

  mutating func split(
    _ bytes: UnsafeRawBufferPointer, isLast: Bool, into units: inout [DocumentBatch.Unit]
  ) -> Int {
    if isPassingOver { return bytes.count }
    guard isLast, !bytes.isEmpty else { return 0 }
    units.append(.init(range: 0..<bytes.count, line: 1))
    return bytes.count
  }

  mutating func passOver() -> DocumentBatch.Unit {
    isPassingOver = true
    return .init(range: 0..<0, line: 1)
  }
}
