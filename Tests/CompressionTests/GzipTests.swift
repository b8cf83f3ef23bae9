import Compression
import Files
import Foundation
import Testing

/// Gzip files that Python's `gzip.compress(..., mtime=0)` wrote.
@Suite struct GzipTests {
  /// `gzip.compress(b"hello ")` and `gzip.compress(b"world")`.
  private static let hello: [UInt8] = Array(
    Data(base64Encoded: "H4sIAAAAAAACA8tIzcnJVwAA9vmB7QYAAAA=") ?? Data())
  private static let world: [UInt8] = Array(
    Data(base64Encoded: "H4sIAAAAAAACAyvPL8pJAQBDEXc6BQAAAA==") ?? Data())

  private final class Bytes: ByteSource {
    private var rest: ArraySlice<UInt8>
    private let step: Int
    init(_ bytes: [UInt8], step: Int) { (rest, self.step) = (bytes[...], step) }

    func read(into output: UnsafeMutableRawBufferPointer) -> Int {
      let part = rest.prefix(min(step, output.count))
      rest = rest.dropFirst(part.count)
      output.copyBytes(from: part)
      return part.count
    }
  }

  private func contents(
    _ bytes: [UInt8], step: Int = 1 << 20, chunk: Int = 1 << 16,
    expected: CompressionFormat? = nil
  ) throws -> String {
    let reader = try openContents(Bytes(bytes, step: step), expected: expected)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 1)
    defer { buffer.deallocate() }
    var result: [UInt8] = []
    while true {
      let count = try reader.read(into: buffer)
      result += buffer[..<count]
      if count < chunk { return String(decoding: result, as: UTF8.self) }
    }
  }

  @Test(arguments: [1, 3, 1 << 20], [1, 2, 7, 1 << 16])
  func membersAreReadOneAfterTheOther(_ step: Int, _ chunk: Int) throws {
    let both = Self.hello + Self.world
    #expect(try contents(both, step: step, chunk: chunk) == "hello world")
    #expect(try contents(both + [0, 0, 0], step: step, chunk: chunk) == "hello world")
    #expect(try contents(Array("plain".utf8), step: step, chunk: chunk) == "plain")
    #expect(try contents([], step: step, chunk: chunk) == "")
  }

  /// A cut file, a flipped bit, bytes behind the end: an error, never other contents.
  @Test func damageIsNoticed() throws {
    let both = Self.hello + Self.world
    for count in 4..<Self.hello.count {
      #expect(throws: CompressionError.self, "\(count)") { try contents(Array(both[..<count])) }
    }
    // Some bits say nothing: the time in a header, the padding of the last byte of the data.
    var noticed = 0
    for bit in 0..<(8 * both.count) {
      var damaged = both
      damaged[bit / 8] ^= 1 << (bit % 8)
      let found = try? contents(damaged, expected: .gzip)
      #expect(found == nil || found == "hello world", "bit \(bit): \(found ?? "")")
      if found == nil { noticed += 1 }
    }
    #expect(noticed > 8 * both.count * 7 / 10)
    #expect(throws: CompressionError.self) { try contents(both + [0, 1]) }
    #expect(throws: CompressionError.self) { try contents(both + Array("text".utf8)) }
  }

  @Test func namesAndBytesHaveToAgree() throws {
    #expect(try contents(Self.hello, expected: .gzip) == "hello ")
    #expect(throws: CompressionError.format("is not zstd-compressed as its name says")) {
      try contents(Self.hello, expected: .zstd)
    }
    #expect(throws: CompressionError.format("holds nothing; was a download cut?")) {
      try contents([], expected: .gzip)
    }
  }
}
