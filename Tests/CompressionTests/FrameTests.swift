import Compression
import Files
import Foundation
import Testing

private func compress(_ bytes: [UInt8], level: Int32 = 1, piece: Int = .max) throws -> [UInt8] {
  let compressor = try FrameCompressor(level: level)
  return try compress(bytes, with: compressor, piece: piece)
}

private func compress(
  _ bytes: [UInt8], with compressor: FrameCompressor, piece: Int = .max
) throws -> [UInt8] {
  var output: [UInt8] = []
  try bytes.withUnsafeBytes { bytes in
    var start = 0
    while start < bytes.count {
      let end = start + min(piece, bytes.count - start)
      var rest = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
      while let frame = try compressor.next(&rest) { output += frame }
      start = end
    }
  }
  if let frame = try compressor.finish() { output += frame }
  return output
}

private func decompress(_ compressed: [UInt8], expecting count: Int) throws -> [UInt8] {
  var output = [UInt8](repeating: 0, count: count)
  let decompressor = try FrameDecompressor()
  try compressed.withUnsafeBytes { compressed in
    try output.withUnsafeMutableBytes { output in
      for frame in try FrameDecompressor.frames(in: compressed, contentByteCount: count) {
        try decompressor.decompress(
          UnsafeRawBufferPointer(rebasing: compressed[frame.compressedRange]),
          into: UnsafeMutableRawBufferPointer(rebasing: output[frame.contentRange]))
      }
    }
  }
  return output
}

private func stream(_ compressed: [UInt8], limit: Int = .max, piece: Int = 10_000) throws -> [UInt8]
{
  try withFile(compressed) { path in
    let reader = try DecompressingReader(try InputFile(path: path), limit: limit)
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: piece)
    while true {
      let count = try buffer.withUnsafeMutableBytes { try reader.read(into: $0) }
      output += buffer[..<count]
      if count < piece { return output }
    }
  }
}

@Suite struct FrameTests {
  private let large = floatBytes(FrameCompressor.chunkByteCount * 2 + 12_345)

  @Test func roundTripsAndIsReproducible() throws {
    for count in [0, 1, 100, FrameCompressor.chunkByteCount, large.count] {
      let bytes = Array(large[..<count])
      let compressed = try compress(bytes)
      #expect(try decompress(compressed, expecting: count) == bytes)
      #expect(try stream(compressed) == bytes)
      #expect(try compress(bytes, piece: 1_000_003) == compressed, "depends on the pieces")
    }
    let compressor = try FrameCompressor(level: 1)
    let first = try compress(large, with: compressor)
    #expect(try compress(large, with: compressor) == first, "depends on what went before")
  }

  @Test func framesAreIndependentAndChecksummed() throws {
    let compressed = try compress(large)
    let frames = try compressed.withUnsafeBytes {
      try FrameDecompressor.frames(in: $0, contentByteCount: large.count)
    }
    #expect(frames.map(\.contentRange.count) == [8 << 20, 8 << 20, 12_345])
    for frame in frames {  // frame header descriptor: content checksum flag
      #expect(compressed[frame.compressedRange.lowerBound + 4] & 4 != 0)
    }
    #expect(
      Array(compressed[frames[2].compressedRange]) == (try compress(Array(large[(16 << 20)...]))))
  }

  @Test func theZstdToolAgrees() throws {
    let compressed = try compress(large)
    #expect(try withFile(compressed) { try run("zstd", ["-dcq", $0]) } == Data(large))
    let foreign = try withFile(large) { try run("zstd", ["-cq", "--no-content-size", $0]) }
    #expect(try stream(Array(foreign)) == large)
    #expect(throws: CompressionError.self) {
      try decompress(Array(foreign), expecting: large.count)
    }
  }

  @Test func findsDamage() throws {
    let bytes = floatBytes(50_000)
    let good = try compress(bytes)
    var missed = 0
    for i in stride(from: 0, to: good.count, by: good.count / 97) {
      var bad = good
      bad[i] ^= 0x10
      if let result = try? decompress(bad, expecting: bytes.count), result != bytes { missed += 1 }
      if let result = try? stream(bad), result != bytes { missed += 1 }
    }
    #expect(missed == 0)
    for count in [1, 5, 20, good.count / 2, good.count - 1] {
      #expect(throws: CompressionError.self) {
        try decompress(Array(good[..<count]), expecting: bytes.count)
      }
      #expect(throws: CompressionError.self) { try stream(Array(good[..<count])) }
    }
  }

  @Test func refusesBombs() throws {
    // A frame header that claims one TiB: magic, descriptor (8-byte size, single segment), size.
    let claim: UInt64 = 1 << 40
    let header =
      [0x28, 0xB5, 0x2F, 0xFD, 0xE0] + withUnsafeBytes(of: claim.littleEndian) { Array($0) }
    let bomb = header + [0x03, 0x00, 0x00, 0x41]
    for size in [100, 1 << 30] {
      #expect(throws: CompressionError.tooLarge(claimed: claim, limit: min(size, 8 << 20))) {
        _ = try bomb.withUnsafeBytes {
          try FrameDecompressor.frames(in: $0, contentByteCount: size)
        }
      }
    }
    #expect(throws: CompressionError.self) { try stream(bomb) }  // window beyond 128 MiB
    let zeros = try compress([UInt8](repeating: 0, count: 30 << 20))
    #expect(zeros.count < 10_000)
    #expect(throws: CompressionError.self) { try decompress(zeros, expecting: 100) }
    #expect(throws: CompressionError.self) { try stream(zeros, limit: 1 << 20) }
  }

  @Test func refusesALevelOutOfRange() {
    #expect(throws: CompressionError.self) { try FrameCompressor(level: 99) }
  }
}
