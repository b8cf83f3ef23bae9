import ErrorReporting
import Foundation

/// A counter-based random generator: its stream is a pure function of (seed, purpose, index).
///
/// Sample `i` of a source, or the initial values of a tensor, are drawn from their own generator, so
/// they never depend on how many ranks, threads or earlier draws there were. The mixing function is
/// SplitMix64's finaliser (Steele, Lea and Flood, 2014) applied to `key + n * golden ratio`.
public struct CounterRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// Starts the stream of (seed, purpose, index).
  ///
  /// - Parameters:
  ///   - seed: the run's seed.
  ///   - purpose: what the numbers are for, for example `"init/model.norm.weight"`.
  ///   - index: which of many such streams, for example the sample's number.
  public init(seed: UInt64, purpose: String, index: UInt64 = 0) {
    self.init(seed: seed, purposeHash: Self.hash(purpose), index: index)
  }

  /// Starts the stream of (seed, purpose, index), the purpose given as `hash(_:)` returned it.
  public init(seed: UInt64, purposeHash: UInt64, index: UInt64) {
    let first = Self.mix(seed &+ 0x9E37_79B9_7F4A_7C15)
    let second = Self.mix(first ^ purposeHash)
    state = Self.mix(second &+ Self.mix(index &+ 0xD1B5_4A32_D192_ED03))
  }

  /// 64-bit FNV-1a of a purpose's UTF-8 bytes.
  public static func hash(_ purpose: String) -> UInt64 {
    purpose.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// The next 64 random bits.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mix(state)
  }

  /// A number uniform in [0, 1), with 53 random bits.
  public mutating func uniform() -> Double {
    Double(next() >> 11) * 0x1p-53
  }

  /// A number uniform in [low, high).
  public mutating func uniform(_ low: Double, _ high: Double) -> Double {
    low + (high - low) * uniform()
  }

  /// A standard normal number (Box-Muller; two uniforms a call).
  public mutating func normal() -> Double {
    let radius = sqrt(-2 * log(1 - uniform()))
    return radius * cos(2 * Double.pi * uniform())
  }

  /// An integer uniform in 0..<bound, without bias (Lemire, 2019).
  ///
  /// - Precondition: `bound > 0`.
  public mutating func below(_ bound: Int) -> Int {
    require(bound > 0, "an empty range has no random element")
    let range = UInt64(bound)
    var product = next().multipliedFullWidth(by: range)
    if product.low < range {
      let threshold = (0 &- range) % range
      while product.low < threshold {
        product = next().multipliedFullWidth(by: range)
      }
    }
    return Int(product.high)
  }
}
