import TensorStorage
import Testing

/// Streams that depend on (seed, purpose, index) and on nothing else.
@Suite("counter-based random numbers")
struct CounterRandomTests {
  private func draws(_ seed: UInt64, _ purpose: String, _ index: UInt64) -> [UInt64] {
    var random = CounterRandom(seed: seed, purpose: purpose, index: index)
    return (0..<4).map { _ in random.next() }
  }

  @Test("the same key gives the same stream, any other key another")
  func keys() {
    let stream = draws(1, "a", 0)
    #expect(draws(1, "a", 0) == stream)
    #expect(
      CounterRandom.hash("a") == 0xAF63_DC4C_8601_EC8C, "64-bit FNV-1a, published test vector")
    for other in [draws(2, "a", 0), draws(1, "b", 0), draws(1, "a", 1)] {
      #expect(Set(other).isDisjoint(with: stream))
    }
  }

  @Test("uniform and normal numbers have their moments")
  func moments() {
    var random = CounterRandom(seed: 3, purpose: "moments")
    let count = 100_000
    var (sum, squares, normalSum, normalSquares) = (0.0, 0.0, 0.0, 0.0)
    var isInside = true
    for _ in 0..<count {
      let u = random.uniform(-2, 4)
      isInside = isInside && u >= -2 && u < 4
      sum += u
      squares += (u - 1) * (u - 1)
      let n = random.normal()
      normalSum += n
      normalSquares += n * n
    }
    let size = Double(count)
    #expect(isInside)
    #expect(abs(sum / size - 1) < 0.02 && abs(squares / size - 3) < 0.03)
    #expect(abs(normalSum / size) < 0.02 && abs(normalSquares / size - 1) < 0.02)
  }

  @Test("integers below a bound are even", arguments: [1, 3, 10, 1000])
  func below(_ bound: Int) {
    var random = CounterRandom(seed: 4, purpose: "below")
    var counts = [Int](repeating: 0, count: bound)
    for _ in 0..<(200 * bound) { counts[random.below(bound)] += 1 }
    #expect(counts.allSatisfy { abs($0 - 200) < 85 })
  }
}
