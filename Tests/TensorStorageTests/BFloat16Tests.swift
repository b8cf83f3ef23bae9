import TensorStorage
import Testing

/// Rounding to the nearest bf16.
@Suite("bf16 numbers")
struct BFloat16Tests {
  /// The nearest of all bf16 numbers, ties to even, by search.
  private func nearest(_ value: Float) -> UInt16 {
    let low = UInt16(value.magnitude.bitPattern >> 16)
    let sign = UInt16(value.sign == .minus ? 0x8000 : 0)
    let below = Double(BFloat16(bitPattern: low).value)
    // Beyond the largest finite number lies 2^128, which infinity stands for.
    let above = low == 0x7F7F ? 0x1p128 : Double(BFloat16(bitPattern: low + 1).value)
    let (down, up) = (Double(value.magnitude) - below, above - Double(value.magnitude))
    let roundsUp = up < down || (up == down && low % 2 == 1)
    return sign | (roundsUp ? low + 1 : low)
  }

  @Test("round to nearest, ties to even")
  func rounding() {
    var random = CounterRandom(seed: 1, purpose: "bf16")
    var values: [Float] = [0, -0.0, 1, -1, .pi, .greatestFiniteMagnitude, .leastNonzeroMagnitude]
    values += [0x1.01p0, 0x1.03p0, 0x1.010002p0, 0x1.02fffep0, 0x1.fffffep-1]
    for _ in 0..<20_000 {
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
      if value.isFinite { values.append(value) }
    }
    for value in values {
      #expect(BFloat16(rounding: value).bitPattern == nearest(value), "\(value)")
    }
  }

  @Test("infinity and NaN stay what they are, every bf16 is its own rounding")
  func special() {
    #expect(BFloat16(rounding: .infinity).value == .infinity)
    #expect(BFloat16(rounding: -.infinity).value == -.infinity)
    for bits: UInt32 in [0x7F80_0001, 0x7FFF_FFFF, 0xFF80_0001, 0xFFFF_FFFF] {
      #expect(BFloat16(rounding: Float(bitPattern: bits)).value.isNaN)
    }
    for bits in UInt16.min...UInt16.max {
      let number = BFloat16(bitPattern: bits)
      if !number.value.isNaN { #expect(BFloat16(rounding: number.value) == number) }
    }
  }

  @Test("many at once", arguments: [1, 7, 63, 65, 100])
  func bulk(_ count: Int) {
    let values = (0..<count).map { Float($0) * 1.2345 - 20 }
    var rounded = [BFloat16](repeating: BFloat16(bitPattern: 0xFFFF), count: count + 1)
    BFloat16.round(values, count: count, into: &rounded)
    #expect(rounded.dropLast() == values.map(BFloat16.init(rounding:))[...])
    #expect(rounded[count].bitPattern == 0xFFFF)
    var widened = [Float](repeating: 5, count: count + 1)
    BFloat16.widen(rounded, count: count, into: &widened)
    #expect(widened.dropLast() == rounded.dropLast().map(\.value)[...])
    #expect(widened[count] == 5)
  }
}
