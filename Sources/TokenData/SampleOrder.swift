import ErrorReporting
import TensorStorage

/// A keyed pseudo-random permutation of 0..<count that needs no memory.
///
/// A balanced Feistel network of six rounds permutes the smallest suitable power of four; values
/// outside 0..<count are sent through it again until they fall inside ("cycle walking"), at most
/// four times on average. The power is 256 at least, because on fewer values a Feistel network is
/// not random enough. The permutation is a function of (seed, source, epoch, block).
public struct SampleOrder: Sendable, Equatable {
  /// Number of elements.
  public let count: Int

  private static let purpose = CounterRandom.hash("data/order")

  private let halfBits: UInt64
  private let keys: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

  /// The permutation of an epoch.
  ///
  /// - Parameters:
  ///   - count: number of elements, 1 or more.
  ///   - seed: the run's seed.
  ///   - source: which source of the mixture.
  ///   - epoch: how often the source was gone through before.
  ///   - block: which part of the epoch, where parts are permuted one by one.
  public init(count: Int, seed: UInt64, source: Int, epoch: UInt64, block: Int = 0) {
    require(count >= 1, "an empty source has no order")
    self.count = count
    let bits = max(Int.bitWidth - (count - 1).leadingZeroBitCount, 8)
    halfBits = UInt64((bits + 1) / 2)
    var random = CounterRandom(
      seed: seed &+ 0x9E37_79B9_7F4A_7C15 &* UInt64(source + 1), purposeHash: Self.purpose,
      index: epoch &+ UInt64(block) << 32)
    keys = (
      random.next(), random.next(), random.next(), random.next(), random.next(), random.next()
    )
  }

  /// The element at `position`.
  ///
  /// - Precondition: `0 <= position < count`.
  public func callAsFunction(_ position: Int) -> Int {
    require(position >= 0 && position < count, "position \(position) of \(count)")
    var value = UInt64(position)
    repeat { value = permuted(value) } while value >= UInt64(count)
    return Int(value)
  }

  private func permuted(_ value: UInt64) -> UInt64 {
    let mask = (1 << halfBits) - 1 as UInt64
    var left = value >> halfBits
    var right = value & mask
    left ^= Self.mix(right ^ keys.0) & mask
    right ^= Self.mix(left ^ keys.1) & mask
    left ^= Self.mix(right ^ keys.2) & mask
    right ^= Self.mix(left ^ keys.3) & mask
    left ^= Self.mix(right ^ keys.4) & mask
    right ^= Self.mix(left ^ keys.5) & mask
    return left << halfBits | right
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Whether both are the same permutation.
  public static func == (a: SampleOrder, b: SampleOrder) -> Bool {
    a.count == b.count && a.keys == b.keys
  }
}
