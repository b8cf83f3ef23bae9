import ErrorReporting
import Files
import JSON

/// The documents of a batch as token ids.
struct EncodedBatch: Sendable {
  /// All ids as they are stored, the documents one after the other.
  var stored: [UInt8] = []
  /// Ids of each document.
  var lengths: [Int32] = []
  /// The largest id; -1 without any.
  var largest: Int32 = -1
  /// Bytes of text.
  var textBytes = 0
  /// Documents that were left out.
  var skipped: [SkippedDocument] = []
  /// What ends the work, after the documents before it.
  var failure: TokenDataError?
}

/// Turns the documents of a batch into token ids; each thread has its own.
final class DocumentEncoder {
  /// Longer words are refused: merging takes 40 bytes of memory a byte of a word.
  private static let longestWord = 1 << 25

  private let tokenizer: any Tokenizer
  private let reading: TextReading
  private let ends: DocumentEnds
  private let element: TokenElement
  private var ids: [Int32] = []

  /// An encoder.
  ///
  /// - Parameters:
  ///   - tokenizer: used by this encoder alone.
  ///   - reading: which member is the text, and what becomes of bad input.
  ///   - ends: which ids are put around a document.
  /// - Precondition: the tokenizer has the ids that `ends` asks for.
  init(_ tokenizer: any Tokenizer, _ reading: TextReading, _ ends: DocumentEnds) {
    self.tokenizer = tokenizer
    self.reading = reading
    self.ends = ends
    element = .forVocabulary(tokenizer.vocabularySize)
  }

  /// Encodes every document of a batch, up to one that ends the work.
  func encode(_ batch: DocumentBatch, of input: TextInput) -> EncodedBatch {
    var result = EncodedBatch()
    for unit in batch.units {
      do throws(TokenDataError) {
        try encode(unit, batch, input, &result)
      } catch {
        guard reading.badInput != .refuse else {
          result.failure = error
          break
        }
        result.skipped.append(SkippedDocument(error, path: input.path, place: unit.place))
      }
    }
    return result
  }

  private func encode(
    _ unit: DocumentBatch.Unit, _ batch: DocumentBatch, _ input: TextInput,
    _ result: inout EncodedBatch
  ) throws(TokenDataError) {
    if let problem = unit.problem {
      throw .invalid(path: input.path, field: unit.place, reason: problem)
    }
    let bytes = batch.bytes[unit.range]
    guard var text = try text(bytes, input, unit), !text.isEmpty else { return }
    ids.removeAll(keepingCapacity: true)
    let count = text.utf8.count
    if count > Self.longestWord, text.withUTF8({ Self.hasLongWord($0) }) {
      throw .invalid(
        path: input.path, field: unit.place,
        reason: "has a word of more than \(Self.longestWord) bytes")
    }
    text.withUTF8 { append($0) }
    guard let length = Int32(exactly: ids.count) else {
      throw .invalid(
        path: input.path, field: unit.place,
        reason: "\(ids.count) tokens are more than an index can hold")
    }
    result.lengths.append(length)
    result.textBytes += count
    result.largest = max(result.largest, store(&result.stored))
  }

  /// The text of a document; nil where there is none.
  private func text(
    _ bytes: UnsafeRawBufferPointer, _ input: TextInput, _ unit: DocumentBatch.Unit
  ) throws(TokenDataError) -> String? {
    guard input.format == .txt else { return try member(bytes, input, unit) }
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    guard reading.badInput == .replace else {
      throw .invalid(path: input.path, field: "text", reason: "is not UTF-8")
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func member(
    _ bytes: UnsafeRawBufferPointer, _ input: TextInput, _ unit: DocumentBatch.Unit
  ) throws(TokenDataError) -> String? {
    var cursor = JSONCursor(
      bytes, source: input.path, firstLine: unit.line, firstColumn: unit.column,
      replacesBadText: reading.badInput == .replace)
    if cursor.peek() == nil { return nil }
    let text = try TokenDataError.from { () throws(FileError) in
      var text: String?
      try cursor.object { (cursor, name) throws(FileError) in
        if name == reading.field {
          text = try cursor.string()
        } else {
          _ = try cursor.value(allowsNonFinite: true)
        }
      }
      try cursor.expectEnd()
      return text
    }
    if let text { return text }
    throw .invalid(
      path: input.path, field: unit.place, reason: "has no member '\(reading.field)'")
  }

  private func append(_ text: UnsafeBufferPointer<UInt8>) {
    let isTemplate = ends.beginning == .template
    if let tokenizer = tokenizer as? HuggingFaceTokenizer {
      tokenizer.encode(utf8: text, addSpecial: isTemplate, appendingTo: &ids)
    } else {
      ids += tokenizer.encode(String(decoding: text, as: UTF8.self), addSpecial: isTemplate)
    }
    if ends.beginning == .always, let first = tokenizer.beginningOfText { ids.insert(first, at: 0) }
    if ends.end == .always, let end = tokenizer.endOfText, ids.last != end { ids.append(end) }
  }

  /// Appends the ids as they are stored and returns the largest.
  private func store(_ stored: inout [UInt8]) -> Int32 {
    var largest: Int32 = -1
    stored.reserveCapacity(stored.count + ids.count * element.byteCount)
    switch element {
    case .uint16:
      for id in ids {
        largest = max(largest, id)
        stored.append(UInt8(truncatingIfNeeded: id))
        stored.append(UInt8(truncatingIfNeeded: id >> 8))
      }
    case .int32:
      for id in ids {
        largest = max(largest, id)
        stored.append(littleEndian: id)
      }
    }
    require(
      largest < Int32(clamping: tokenizer.vocabularySize),
      "id \(largest) of a vocabulary of \(tokenizer.vocabularySize)")
    return largest
  }

  /// Whether a stretch without a space or line end, or one of nothing else, is longer than words may be.
  private static func hasLongWord(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    var (start, isSpace) = (0, false)
    for i in text.indices {
      let now = text[i] == 0x20 || text[i] == 0x0A
      if now != isSpace { (start, isSpace) = (i, now) }
      if i - start >= longestWord { return true }
    }
    return false
  }
}
