/// A bfloat16 number: the upper half of a `Float`, 8 bits of exponent and 7 of fraction.
@frozen
public struct BFloat16: Sendable, Equatable {
  /// Sign, exponent and fraction.
  public var bitPattern: UInt16

  /// The number of that bit pattern.
  @inlinable @inline(__always)
  public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// Rounds to nearest, ties to even; NaN stays NaN.
  @inlinable @inline(__always)
  public init(_ value: Float) {
    let bits = value.bitPattern
    let rounded = (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16
    let quiet = bits >> 16 | 0x40
    let isNaN = bits & 0x7FFF_FFFF > 0x7F80_0000
    bitPattern = UInt16(truncatingIfNeeded: isNaN ? quiet : rounded)
  }

  /// Rounds up or down at random, so that the mean of many roundings is the value itself.
  ///
  /// With `noise` uniform in 0 ..< 65536, a value that lies the fraction `f` of the way from one
  /// bfloat16 to the next becomes the farther from zero with probability `f` (to 2^-16). What bfloat16
  /// holds exactly, infinities among it, is kept. NaN is not: it may become any number.
  @inlinable @inline(__always)
  public init(stochastic value: Float, noise: UInt32) {
    bitPattern = UInt16(truncatingIfNeeded: (value.bitPattern &+ noise) >> 16)
  }
}

extension Float {
  /// The value of a bfloat16, exactly.
  @inlinable @inline(__always)
  public init(_ value: BFloat16) {
    self.init(bitPattern: UInt32(value.bitPattern) << 16)
  }
}

/// A fixed-size, 64-byte aligned block of `BFloat16`s that lives as long as its owner, zero at first.
///
/// Like `FloatBuffer`, at half the size.
public final class BFloat16Buffer {
  /// The first element; valid for `count` elements while this object lives.
  public let pointer: UnsafeMutablePointer<BFloat16>
  /// Number of elements.
  public let count: Int

  private let memory: FloatBuffer

  /// Allocates `count` elements, all zero.
  public init(count: Int) {
    memory = FloatBuffer(count: (count + 1) / 2)
    pointer = UnsafeMutableRawPointer(memory.pointer).assumingMemoryBound(to: BFloat16.self)
    self.count = count
  }
}
