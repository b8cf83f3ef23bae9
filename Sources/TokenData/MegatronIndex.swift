import Files

/// The checked contents of a Megatron `.idx` file.
///
/// Little-endian, unaligned from byte 34 on: `"MMIDIDX\0\0"` | u64 version 1 | u8 type code |
/// u64 sequences S | u64 documents D | i32 length[S] | i64 pointer[S] | i64 document[D] |
/// optional i8 mode[S].
struct MegatronIndex {
  static let magic = Array("MMIDIDX\0\0".utf8)
  static let headerByteCount = 34

  private static let elementNames: [UInt8: String] = [
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float64", 7: "float32",
    8: "uint16",
  ]

  let element: TokenElement
  let sequenceCount: Int
  /// Documents: one less than entries, because the last entry is the end.
  let documentCount: Int
  private(set) var tokenCount = 0
  private(set) var runs: [MegatronTokens.Run] = []

  private let file: MappedFile
  private let tokenFile: MappedFile

  init(_ file: MappedFile, tokenFile: MappedFile) throws(TokenDataError) {
    self.file = file
    self.tokenFile = tokenFile
    func require(_ holds: Bool, _ field: String, _ reason: String) throws(TokenDataError) {
      if !holds { throw .invalid(path: file.path, field: field, reason: reason) }
    }
    let bytes = file.bytes
    try require(
      bytes.count >= Self.headerByteCount, "header",
      "truncated: \(bytes.count) bytes, a header has \(Self.headerByteCount)")
    try require(bytes.starts(with: Self.magic), "magic", "not a Megatron index file")
    let version = Self.load(bytes, 9, as: UInt64.self)
    try require(version == 1, "version", "is \(version); only version 1 is known")
    let code = bytes[17]
    guard let element = TokenElement(rawValue: code) else {
      let name = Self.elementNames[code] ?? "unknown"
      throw .invalid(
        path: file.path, field: "dtype",
        reason: "code \(code) (\(name)) is not supported; tokens must be uint16 or int32")
    }
    self.element = element
    let sequences = Self.load(bytes, 18, as: UInt64.self)
    let entries = Self.load(bytes, 26, as: UInt64.self)
    let room = UInt64(bytes.count)
    try require(
      sequences <= room / 12, "sequence count",
      "truncated: \(sequences) sequences do not fit in \(bytes.count) bytes")
    try require(entries >= 1, "document count", "is 0; it counts at least the end")
    try require(
      entries <= room / 8, "document count",
      "truncated: \(entries) entries do not fit in \(bytes.count) bytes")
    sequenceCount = Int(sequences)
    documentCount = Int(entries) - 1
    let needed = Self.headerByteCount + 12 * sequenceCount + 8 * (documentCount + 1)
    try require(
      bytes.count >= needed, "size", "truncated: \(bytes.count) bytes, its counts need \(needed)")
    try require(
      bytes.count == needed || bytes.count == needed + sequenceCount, "size",
      "\(bytes.count - needed) bytes follow the last array, expected 0 or \(sequenceCount)")
    try checkDocuments(at: Self.headerByteCount + 12 * sequenceCount)
    try collectRuns()
  }

  private static func load<Value: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, _ offset: Int, as type: Value.Type
  ) -> Value {
    Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
  }

  private func checkDocuments(at offset: Int) throws(TokenDataError) {
    var previous = 0
    for document in 0...documentCount {
      let entry = Int(Self.load(file.bytes, offset + 8 * document, as: Int64.self))
      guard entry >= previous, entry <= sequenceCount, document > 0 || entry == 0 else {
        throw .invalid(
          path: file.path, field: "document \(document)",
          reason: "starts at sequence \(entry), out of order or past \(sequenceCount) sequences")
      }
      previous = entry
    }
    guard previous == sequenceCount else {
      throw .invalid(
        path: file.path, field: "document \(documentCount)",
        reason: "the last entry is \(previous), not the number of sequences \(sequenceCount)")
    }
  }

  /// The tokens before each document that is not empty, ascending.
  func documentStarts() -> [Int] {
    var starts: [Int] = []
    forEachDocument { _, start in
      if start < tokenCount && starts.last != start { starts.append(start) }
    }
    return starts
  }

  /// The number of the document that holds a token.
  func document(ofToken token: Int) -> Int {
    var found = 0
    forEachDocument { if $1 <= token { found = $0 } }
    return found
  }

  /// Calls `body` with each document's number and the tokens before it, in order.
  private func forEachDocument(_ body: (Int, Int) -> Void) {
    let documents = Self.headerByteCount + 12 * sequenceCount
    var (sequence, tokens) = (0, 0)
    for document in 0..<documentCount {
      let first = Int(Self.load(file.bytes, documents + 8 * document, as: Int64.self))
      while sequence < first {
        tokens += Int(
          Self.load(file.bytes, Self.headerByteCount + 4 * sequence, as: Int32.self))
        sequence += 1
      }
      body(document, tokens)
    }
  }

  private mutating func collectRuns() throws(TokenDataError) {
    let size = element.byteCount
    guard tokenFile.byteCount % size == 0 else {
      throw .invalid(
        path: tokenFile.path, field: "size",
        reason: "\(tokenFile.byteCount) bytes are not a whole number of \(size)-byte tokens")
    }
    let lengths = Self.headerByteCount
    let pointers = lengths + 4 * sequenceCount
    var expected = -1
    var end = 0
    for sequence in 0..<sequenceCount {
      let length = Int(Self.load(file.bytes, lengths + 4 * sequence, as: Int32.self))
      let pointer = Int(Self.load(file.bytes, pointers + 8 * sequence, as: Int64.self))
      guard length >= 0 else {
        throw .invalid(
          path: file.path, field: "length of sequence \(sequence)", reason: "is negative: \(length)"
        )
      }
      guard pointer >= 0, pointer <= tokenFile.byteCount - length * size else {
        throw .invalid(
          path: file.path, field: "pointer of sequence \(sequence)",
          reason: "byte \(pointer) and \(length) tokens lie outside \(tokenFile.path),"
            + " which has \(tokenFile.byteCount) bytes: it is truncated or another file's")
      }
      guard pointer % size == 0 else {
        throw .invalid(
          path: file.path, field: "pointer of sequence \(sequence)",
          reason: "byte \(pointer) is inside a \(size)-byte token")
      }
      guard length > 0 else { continue }
      if pointer != expected { runs.append(.init(start: tokenCount, fileOffset: pointer / size)) }
      expected = pointer + length * size
      end = max(end, expected)
      tokenCount += length
    }
    guard end == tokenFile.byteCount else {
      throw .invalid(
        path: tokenFile.path, field: "size",
        reason: "\(tokenFile.byteCount) bytes, but \(file.path) speaks of \(end):"
          + " the two are not of the same data set, make them again")
    }
  }
}
