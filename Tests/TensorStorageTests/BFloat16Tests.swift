import TensorStorage
import Testing

/// Half of a float.
@Suite("bfloat16")
struct BFloat16Tests {
  @Test("rounds to nearest, ties to even, and keeps what is exact")
  func nearest() {
    for bits in stride(from: UInt16(0), through: .max, by: 7) {
      let number = BFloat16(bitPattern: bits)
      let value = Float(number)
      if value.isNaN {
        #expect(Float(BFloat16(value)).isNaN)
      } else {
        #expect(BFloat16(value) == number)
        for noise: UInt32 in [0, 1, 40_000, 65_535] {
          #expect(BFloat16(stochastic: value, noise: noise) == number)
        }
      }
    }
    let ulp = Float(0x1p-7)
    #expect(Float(BFloat16(1 + 0.49 * ulp)) == 1 && Float(BFloat16(1 + 0.51 * ulp)) == 1 + ulp)
    #expect(Float(BFloat16(1 + 0.5 * ulp)) == 1 && Float(BFloat16(1 + 1.5 * ulp)) == 1 + 2 * ulp)
    #expect(Float(BFloat16(-1 - 0.51 * ulp)) == -1 - ulp)
  }

  @Test("stochastic rounding goes up as often as the fraction says", arguments: [1, -3.7e-5, 1e30])
  func stochastic(_ base: Double) {
    let low = Float(BFloat16(Float(base)))
    let high = Float(BFloat16(bitPattern: BFloat16(low).bitPattern + 1))
    for fraction in [0.0, 0.125, 0.5, 0.75] {
      let value = Float(Double(low) + fraction * (Double(high) - Double(low)))
      var up = 0
      for noise in 0..<UInt32(65_536) {
        let rounded = Float(BFloat16(stochastic: value, noise: noise))
        #expect(rounded == low || rounded == high)
        up += rounded == high && high != low ? 1 : 0
      }
      #expect(Double(up) == fraction * 65_536)
    }
  }

  @Test("a buffer starts as zeros")
  func buffer() {
    let buffer = BFloat16Buffer(count: 65)
    #expect((0..<65).allSatisfy { buffer.pointer[$0].bitPattern == 0 } && buffer.count == 65)
  }

  /// The nearest of all bf16 numbers, ties to even, by search.
  private func nearestBits(_ value: Float) -> UInt16 {
    let low = UInt16(value.magnitude.bitPattern >> 16)
    let sign = UInt16(value.sign == .minus ? 0x8000 : 0)
    let below = Double(Float(BFloat16(bitPattern: low)))
    // Beyond the largest finite number lies 2^128, which infinity stands for.
    let above = low == 0x7F7F ? 0x1p128 : Double(Float(BFloat16(bitPattern: low + 1)))
    let (down, up) = (Double(value.magnitude) - below, above - Double(value.magnitude))
    let roundsUp = up < down || (up == down && low % 2 == 1)
    return sign | (roundsUp ? low + 1 : low)
  }

  @Test("agrees with a search for the nearest, ties to even")
  func searched() {
    var random = CounterRandom(seed: 1, purpose: "bf16")
    var values: [Float] = [0, -0.0, 1, -1, .pi, .greatestFiniteMagnitude, .leastNonzeroMagnitude]
    values += [0x1.01p0, 0x1.03p0, 0x1.010002p0, 0x1.02fffep0, 0x1.fffffep-1]
    for _ in 0..<20_000 {
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
      if value.isFinite { values.append(value) }
    }
    for value in values {
      #expect(BFloat16(value).bitPattern == nearestBits(value), "\(value)")
    }
  }

  @Test("infinity and NaN stay what they are, every bf16 is its own rounding")
  func special() {
    #expect(Float(BFloat16(.infinity)) == .infinity)
    #expect(Float(BFloat16(-.infinity)) == -.infinity)
    for bits: UInt32 in [0x7F80_0001, 0x7FFF_FFFF, 0xFF80_0001, 0xFFFF_FFFF] {
      #expect(Float(BFloat16(Float(bitPattern: bits))).isNaN)
    }
    for bits in UInt16.min...UInt16.max {
      let number = BFloat16(bitPattern: bits)
      let value = Float(number)
      if !value.isNaN { #expect(BFloat16(value) == number) }
    }
  }
}
