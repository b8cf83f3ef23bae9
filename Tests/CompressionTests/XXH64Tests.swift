import Compression
import Foundation
import Testing

@Suite struct XXH64Tests {
  @Test(
    arguments: [
      ("", 0xEF46_DB37_51D8_E999), ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999),
    ] as [(String, UInt64)])
  func knownVectors(_ text: String, _ expected: UInt64) {
    #expect(Array(text.utf8).withUnsafeBytes { XXH64.hash($0) } == expected)
  }

  @Test func equalsTheDebianTool() throws {
    for count in [0, 1, 3, 4, 7, 8, 12, 31, 32, 33, 63, 64, 65, 100, 1021, 70_001] {
      let bytes = floatBytes(count, seed: UInt64(count))
      let printed = try withFile(bytes) { try run("xxhsum", ["-H64", $0]) }
      let hash = XXH64.hexadecimal(bytes.withUnsafeBytes { XXH64.hash($0) })
      #expect(String(decoding: printed.prefix(16), as: UTF8.self) == hash, "\(count) bytes")
    }
  }

  @Test func doesNotDependOnThePieces() {
    let bytes = floatBytes(1000)
    for piece in [1, 5, 31, 32, 33, 64, 999] {
      let hash = bytes.withUnsafeBytes { bytes in
        var hash = XXH64()
        for start in stride(from: 0, to: bytes.count, by: piece) {
          hash.update(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + piece, 1000)]))
          _ = hash.digest()
        }
        return hash.digest()
      }
      #expect(hash == bytes.withUnsafeBytes { XXH64.hash($0) }, "pieces of \(piece)")
    }
  }
}
