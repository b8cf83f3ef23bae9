/// The 64-bit xxHash, fed piece by piece.
///
/// Equals `xxhsum -H64` (Yann Collet's specification, `doc/xxhash_spec.md`). It finds damage, not
/// forgery: 64 bits miss one random corruption in 1.8e19.
public struct XXH64: Sendable {
  private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
  private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
  private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
  private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

  private let seed: UInt64
  private var lanes: (UInt64, UInt64, UInt64, UInt64)
  private var tail: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
  private var byteCount = 0

  /// Starts the hash of an empty input.
  public init(seed: UInt64 = 0) {
    self.seed = seed
    lanes = (
      seed &+ Self.prime1 &+ Self.prime2, seed &+ Self.prime2, seed, seed &- Self.prime1
    )
  }

  /// The hash of `bytes`.
  public static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    var hash = XXH64(seed: seed)
    hash.update(bytes)
    return hash.digest()
  }

  /// Appends `bytes` to the input.
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard var next = bytes.baseAddress else { return }
    var left = bytes.count
    let pending = byteCount & 31
    byteCount += left
    if pending > 0 {
      let taken = min(32 - pending, left)
      withUnsafeMutableBytes(of: &tail) {
        $0.baseAddress?.advanced(by: pending).copyMemory(from: next, byteCount: taken)
      }
      next += taken
      left -= taken
      guard pending + taken == 32 else { return }
      withUnsafeBytes(of: tail) { stripe in
        if let start = stripe.baseAddress { Self.consume(start, 1, &lanes) }
      }
    }
    Self.consume(next, left / 32, &lanes)
    next += left & ~31
    let rest = left & 31
    withUnsafeMutableBytes(of: &tail) { $0.baseAddress?.copyMemory(from: next, byteCount: rest) }
  }

  /// The hash of what was appended so far; more may be appended afterwards.
  public func digest() -> UInt64 {
    var hash = byteCount >= 32 ? mergedLanes() : seed &+ Self.prime5
    hash &+= UInt64(byteCount)
    withUnsafeBytes(of: tail) { tail in
      let count = byteCount & 31
      var i = 0
      while i + 8 <= count {
        hash ^= Self.round(
          0, UInt64(littleEndian: tail.loadUnaligned(fromByteOffset: i, as: UInt64.self)))
        hash = Self.rotate(hash, 27) &* Self.prime1 &+ Self.prime4
        i += 8
      }
      if i + 4 <= count {
        let word = UInt32(littleEndian: tail.loadUnaligned(fromByteOffset: i, as: UInt32.self))
        hash ^= UInt64(word) &* Self.prime1
        hash = Self.rotate(hash, 23) &* Self.prime2 &+ Self.prime3
        i += 4
      }
      while i < count {
        hash ^= UInt64(tail[i]) &* Self.prime5
        hash = Self.rotate(hash, 11) &* Self.prime1
        i += 1
      }
    }
    hash = (hash ^ (hash >> 33)) &* Self.prime2
    hash = (hash ^ (hash >> 29)) &* Self.prime3
    return hash ^ (hash >> 32)
  }

  /// A hash as 16 lower-case hexadecimal digits, as `xxhsum` prints it.
  public static func hexadecimal(_ digest: UInt64) -> String {
    let digits = String(digest, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  private func mergedLanes() -> UInt64 {
    var hash =
      Self.rotate(lanes.0, 1) &+ Self.rotate(lanes.1, 7) &+ Self.rotate(lanes.2, 12)
      &+ Self.rotate(lanes.3, 18)
    for lane in [lanes.0, lanes.1, lanes.2, lanes.3] {
      hash = (hash ^ Self.round(0, lane)) &* Self.prime1 &+ Self.prime4
    }
    return hash
  }

  /// Mixes `count` stripes of 32 bytes into the lanes.
  private static func consume(
    _ start: UnsafeRawPointer, _ count: Int, _ lanes: inout (UInt64, UInt64, UInt64, UInt64)
  ) {
    var (a, b, c, d) = lanes
    var stripe = start
    for _ in 0..<count {
      a = round(a, UInt64(littleEndian: stripe.loadUnaligned(as: UInt64.self)))
      b = round(b, UInt64(littleEndian: stripe.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
      c = round(c, UInt64(littleEndian: stripe.loadUnaligned(fromByteOffset: 16, as: UInt64.self)))
      d = round(d, UInt64(littleEndian: stripe.loadUnaligned(fromByteOffset: 24, as: UInt64.self)))
      stripe += 32
    }
    lanes = (a, b, c, d)
  }

  @inline(__always)
  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotate(lane &+ word &* prime2, 31) &* prime1
  }

  @inline(__always)
  private static func rotate(_ value: UInt64, _ bits: UInt64) -> UInt64 {
    value &<< bits | value &>> (64 &- bits)
  }
}
