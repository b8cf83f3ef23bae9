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
}
