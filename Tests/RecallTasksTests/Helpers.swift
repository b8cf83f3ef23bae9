import Fields
import Foundation
import RecallTasks
import TokenData

/// A source's sample as arrays.
struct SampleArrays: Equatable {
  let inputs: [Int32]
  let targets: [Int32]
  let weights: [Float]

  init(_ source: any SampleSource, _ index: UInt64) throws {
    let batch = SampleBatch(sampleCount: 1, sequenceLength: source.sequenceLength)
    // Whatever was there before must not shine through.
    batch.inputs.update(repeating: -7)
    batch.targets.update(repeating: -7)
    batch.weights.update(repeating: -7)
    try source.write(sample: index, into: batch[0])
    inputs = Array(batch.inputs)
    targets = Array(batch.targets)
    weights = Array(batch.weights)
  }

  /// Positions whose target counts.
  var counted: [Int] { weights.indices.filter { weights[$0] == 1 } }
}

/// UTF-8 bytes as ids; perhaps with a beginning id, or merging pairs of equal letters.
final class TestTokenizer: Tokenizer {
  let name = "test"
  let contentHash = "test"
  let identity = "test"
  let vocabularySize = 1024
  let beginningOfText: Int32?
  let endOfText: Int32? = 256
  private let chunk: Int
  private(set) var encodedBytes = 0

  /// Ids stand for `chunk` bytes each, counted from the text's start: when it is above 1, pieces of
  /// text cannot be encoded one by one.
  init(beginning: Int32? = nil, chunk: Int = 1) {
    beginningOfText = beginning
    self.chunk = chunk
  }

  func copyForThread() -> any Tokenizer { TestTokenizer(beginning: beginningOfText, chunk: chunk) }

  func encode(_ text: String, addSpecial: Bool) -> [Int32] {
    encodedBytes += text.utf8.count
    let bytes = text.utf8.map { Int32($0) }
    let body = stride(from: 0, to: bytes.count, by: chunk).map { start in
      bytes[start..<min(start + chunk, bytes.count)].reduce(Int32(0)) { ($0 * 31 + $1) % 1000 }
    }
    return (addSpecial ? beginningOfText.map { [$0] } ?? [] : []) + body
  }

  func decode(_ ids: [Int32]) -> String {
    String(decoding: ids.compactMap { UInt8(exactly: $0) }, as: UTF8.self)
  }
}

func source(
  _ name: String, _ options: FieldValue = [:], length: Int, seed: UInt64 = 0,
  stream: SampleStream = .training, tokenizer: (any Tokenizer)? = nil
) throws -> any SampleSource {
  try RecallTaskConfiguration(name: name, options: options).makeSource(
    sequenceLength: length, seed: seed, stream: stream, tokenizer: tokenizer)
}

/// SHA-256 in hexadecimal (FIPS 180-4), for golden values.
func sha256(_ text: String) -> String {
  let primes: [UInt32] = (2..<312).filter { n in !(2..<n).contains { n % $0 == 0 } }
  func fraction(_ root: Double) -> UInt32 { UInt32((root - root.rounded(.down)) * 0x1p32) }
  let constants = primes.prefix(64).map { fraction(cbrt(Double($0))) }
  var state = primes.prefix(8).map { fraction(Double($0).squareRoot()) }
  var message = Array(text.utf8) + [0x80]
  message += [UInt8](repeating: 0, count: (120 - message.count % 64) % 64)
  message += withUnsafeBytes(of: UInt64(8 * text.utf8.count).bigEndian) { Array($0) }
  func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { x >> n | x << (32 - n) }
  for block in stride(from: 0, to: message.count, by: 64) {
    var w = (0..<16).map { i in
      message[(block + 4 * i)..<(block + 4 * i + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    }
    for i in 16..<64 {
      let s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3
      let s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10
      w.append(w[i - 16] &+ s0 &+ w[i - 7] &+ s1)
    }
    var v = state
    for i in 0..<64 {
      let s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)
      let choice = v[4] & v[5] ^ ~v[4] & v[6]
      let t1 = v[7] &+ s1 &+ choice &+ constants[i] &+ w[i]
      let s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)
      let t2 = s0 &+ (v[0] & v[1] ^ v[0] & v[2] ^ v[1] & v[2])
      v = [t1 &+ t2, v[0], v[1], v[2], v[3] &+ t1, v[4], v[5], v[6]]
    }
    for i in 0..<8 { state[i] &+= v[i] }
  }
  return state.map { word in
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }.joined()
}
