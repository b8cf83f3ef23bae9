import Files
import Foundation

/// A file of tokens without an index: nanoGPT's and llm.c's `.bin`, and one-dimensional `.npy`.
///
/// nanoGPT's is nothing but 16-bit ids. llm.c's begins with 256 32-bit words: 20240520, version 1, the number
/// of tokens, which are 16-bit; or 20240801, version 7, for 32-bit ones. (`dev/data/data_common.py`.)
struct FlatTokenFile: TokenLayout {
  let element: TokenElement
  let sequenceCount = 1
  let tokenCount: Int
  let runs: [MegatronTokens.Run]

  /// Bytes before the first token.
  let headerByteCount: Int

  private let file: MappedFile
  private let endOfText: Int32?

  var documentCount: Int { documentStarts().count }

  /// Reads the header.
  ///
  /// - Parameters:
  ///   - file: the whole file.
  ///   - endOfText: the id after which a document ends; nil makes the file one document.
  /// - Throws: `.invalid` naming file and field.
  init(_ file: MappedFile, endOfText: Int32?) throws(TokenDataError) {
    let header = try file.path.hasSuffix(".npy") ? Self.npy(file) : Self.bin(file)
    let bytes = file.byteCount - header.byteCount
    guard bytes % header.element.byteCount == 0,
      header.tokenCount ?? (bytes / header.element.byteCount) == bytes / header.element.byteCount
    else {
      throw .invalid(
        path: file.path, field: "size",
        reason: "\(bytes) bytes follow the header, which promises "
          + (header.tokenCount.map { "\($0)" } ?? "whole")
          + " tokens of \(header.element.byteCount) bytes: it is truncated or of another kind")
    }
    element = header.element
    headerByteCount = header.byteCount
    tokenCount = bytes / element.byteCount
    runs = tokenCount > 0 ? [.init(start: 0, fileOffset: header.byteCount / element.byteCount)] : []
    self.file = file
    self.endOfText = endOfText
  }

  private typealias Header = (byteCount: Int, element: TokenElement, tokenCount: Int?)

  private static func bin(_ file: MappedFile) throws(TokenDataError) -> Header {
    let (words, byteCount) = (256, 1024)
    func word(_ index: Int) -> Int {
      Int(Int32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: 4 * index, as: Int32.self)))
    }
    let kinds: [Int: (version: Int, element: TokenElement)] = [
      20_240_520: (1, .uint16), 20_240_801: (7, .int32),
    ]
    guard file.byteCount >= byteCount, let kind = kinds[word(0)], word(1) == kind.version,
      (3..<words).allSatisfy({ word($0) == 0 })
    else { return (0, .uint16, nil) }
    return (byteCount, kind.element, word(2))
  }

  // MARK: .npy

  private static func npy(_ file: MappedFile) throws(TokenDataError) -> Header {
    let bytes = file.bytes
    func invalid(_ reason: String) -> TokenDataError {
      .invalid(path: file.path, field: "npy header", reason: reason)
    }
    guard bytes.count >= 12, bytes.starts(with: [0x93] + Array("NUMPY".utf8)) else {
      throw invalid("is missing: not a .npy file")
    }
    let isLong = bytes[6] >= 2
    let length =
      isLong
      ? Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
      : Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
    let start = isLong ? 12 : 10
    guard (1...3).contains(bytes[6]), length <= bytes.count - start, length <= 1 << 16 else {
      throw invalid("is truncated or of an unknown version")
    }
    let text = String(decoding: bytes[start..<(start + length)], as: UTF8.self)
    guard let type = value(of: "descr", in: text) else { throw invalid("names no dtype") }
    let elements: [String: TokenElement] = [
      "'<u2'": .uint16, "'<u4'": .int32, "'<i4'": .int32,
    ]
    guard let element = elements[type] else {
      throw invalid("dtype \(type) is not supported; save the ids as uint16, uint32 or int32")
    }
    let shape = value(of: "shape", in: text)?.filter { !" (),".contains($0) }
    let dimensions = value(of: "shape", in: text)?.split(separator: ",").filter {
      $0.contains(where: \.isNumber)
    }
    guard let count = shape.flatMap({ Int($0) }), dimensions?.count == 1, count >= 0 else {
      throw invalid("shape must have one dimension")
    }
    guard (start + length) % element.byteCount == 0 else { throw invalid("is not aligned") }
    return (start + length, element, count)
  }

  /// What follows a key of the header's dictionary, up to the comma after it.
  private static func value(of key: String, in text: String) -> String? {
    guard let range = text.range(of: "'\(key)':") else { return nil }
    let rest = text[range.upperBound...].drop { $0 == " " }
    let end = rest.first == "(" ? rest.firstIndex(of: ")").map { rest.index(after: $0) } : nil
    return String(rest[..<(end ?? rest.firstIndex { ",}".contains($0) } ?? rest.endIndex)])
  }

  // MARK: Documents

  func documentStarts() -> [Int] {
    guard tokenCount > 0 else { return [] }
    var starts = [0]
    guard let endOfText else { return starts }
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[headerByteCount...])
    func scan<Stored: FixedWidthInteger>(_ end: Stored) {
      for token in 0..<(tokenCount - 1)
      where bytes.loadUnaligned(
        fromByteOffset: token * MemoryLayout<Stored>.size, as: Stored.self) == end
      {
        starts.append(token + 1)
      }
    }
    switch element {
    case .uint16: if let end = UInt16(exactly: endOfText) { scan(end.littleEndian) }
    case .int32: scan(endOfText.littleEndian)
    }
    return starts
  }

  func document(ofToken token: Int) -> Int {
    max(documentStarts().partitioningIndex { $0 > token } - 1, 0)
  }
}
