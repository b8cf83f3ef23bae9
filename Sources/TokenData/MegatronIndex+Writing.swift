import Compression
import Files

extension MegatronIndex {
  /// Documents whose entries are written at once.
  private static let stride = 1 << 16

  /// Writes the index of documents that stand one after the other in the token file, each one sequence.
  ///
  /// - Parameters:
  ///   - lengths: tokens of each document.
  ///   - element: how tokens are stored.
  ///   - file: where to.
  /// - Returns: the index's size and hash.
  /// - Throws: `.io`.
  static func write(
    _ lengths: [Int32], _ element: TokenElement, to file: OutputFile
  ) throws(FileError) -> TokenManifest.Part {
    var part = HashedPart(file: file)
    try part.write(magic)
    try part.write([1] as [UInt64])
    try part.write([element.rawValue])
    try part.write([UInt64(lengths.count), UInt64(lengths.count + 1)])
    try part.write(lengths, stride)
    var pointer: Int64 = 0
    for start in Swift.stride(from: 0, to: lengths.count, by: stride) {
      let some = lengths[start..<min(start + stride, lengths.count)]
      try part.write(
        some.map { length -> Int64 in
          defer { pointer += Int64(length) * Int64(element.byteCount) }
          return pointer
        })
    }
    for start in Swift.stride(from: 0, through: lengths.count, by: stride) {
      try part.write((start...min(start + stride - 1, lengths.count)).map { Int64($0) })
    }
    return part.summary
  }
}

/// A file that is hashed as it is written.
private struct HashedPart: ~Copyable {
  let file: OutputFile
  private var hash = XXH64()
  private var byteCount = 0

  init(file: OutputFile) { self.file = file }

  var summary: TokenManifest.Part {
    .init(byteCount: byteCount, hash: XXH64.hexadecimal(hash.digest()))
  }

  mutating func write(_ bytes: [UInt8]) throws(FileError) {
    try file.write(bytes)
    bytes.withUnsafeBytes { hash.update($0) }
    byteCount += bytes.count
  }

  /// Writes integers, the lowest byte of each first.
  mutating func write(_ integers: [some FixedWidthInteger]) throws(FileError) {
    var bytes: [UInt8] = []
    for integer in integers { bytes.append(littleEndian: integer) }
    try write(bytes)
  }

  mutating func write(_ integers: [Int32], _ stride: Int) throws(FileError) {
    for start in Swift.stride(from: 0, to: integers.count, by: stride) {
      try write(Array(integers[start..<min(start + stride, integers.count)]))
    }
  }
}
