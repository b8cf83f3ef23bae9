import Evaluation
import Foundation
import Testing

@Suite("Spectrum of a state")
struct StateSpectrumTests {
  private func spectrum(_ elements: [Float], rows: Int) -> StateSpectrum {
    elements.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { fatalError("an empty matrix") }
      return StateSpectrum(base, rows: rows, columns: elements.count / rows)
    }
  }

  /// `exp` of the entropy of squared singular values.
  private func rank(_ singular: [Double]) -> Double {
    let total = singular.reduce(0) { $0 + $1 * $1 }
    return exp(
      singular.reduce(0) {
        let share = $1 * $1 / total
        return share > 0 ? $0 - share * log(share) : $0
      })
  }

  @Test("one association has rank 1, n equal ones have rank n, nothing has 0")
  func extremes() {
    let keys: [Float] = [1, -2, 0.5, 3]
    let values: [Float] = [2, 1, 4, -1, 0, 7]
    let outer = spectrum(keys.flatMap { key in values.map { key * $0 } }, rows: 4)
    #expect(abs(outer.effectiveRank - 1) < 1e-12)
    // |key|^2 |value|^2
    #expect(outer.energy == 14.25 * 71)
    for n in [1, 2, 3, 8, 31] {
      let identity = (0..<n * n).map { Float($0 % (n + 1) == 0 ? 3 : 0) }
      let found = spectrum(identity, rows: n)
      #expect(abs(found.effectiveRank - Double(n)) < 1e-12 * Double(n))
      #expect(found.energy == Double(9 * n))
    }
    let nothing = spectrum([Float](repeating: 0, count: 12), rows: 3)
    #expect(nothing.effectiveRank == 0 && nothing.energy == 0)
  }

  @Test(
    "known singular values, between random reflections", arguments: [1, 2, 3, 7, 20, 64], [0, 5])
  func reflected(size: Int, more: Int) {
    var generator = Congruential(state: UInt64(100 * size + more))
    // From large to far below the precision of a Float sum of squares, two of them equal.
    var singular = (0..<size).map { 4 * Foundation.pow(0.8, Double($0)) }
    if size > 2 { singular[1] = singular[0] }
    let columns = size + more
    var matrix = (0..<size * columns).map { index in
      index / columns == index % columns ? singular[index % columns] : 0
    }
    func unit(_ count: Int) -> [Double] {
      let raw = (0..<count).map { _ in Double.random(in: -1...1, using: &generator) }
      let norm = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return raw.map { $0 / norm }
    }
    for _ in 0..<3 {
      let (left, right) = (unit(size), unit(columns))
      for j in 0..<columns {
        var dot = 0.0
        for i in 0..<size { dot += left[i] * matrix[i * columns + j] }
        for i in 0..<size { matrix[i * columns + j] -= 2 * dot * left[i] }
      }
      for i in 0..<size {
        var dot = 0.0
        for j in 0..<columns { dot += right[j] * matrix[i * columns + j] }
        for j in 0..<columns { matrix[i * columns + j] -= 2 * dot * right[j] }
      }
    }
    let wide = spectrum(matrix.map { Float($0) }, rows: size)
    // Only storing the matrix as Float rounds.
    #expect(abs(wide.effectiveRank / rank(singular) - 1) < 1e-6)
    let squares = singular.map { $0 * $0 }
    let total = squares.reduce(0, +)
    let shares = squares.map { $0 / total }.sorted()
    for (found, wanted) in zip(wide.shares.sorted(), shares) { #expect(abs(found - wanted) < 1e-6) }
    let tall = (0..<columns).flatMap { j in (0..<size).map { Float(matrix[$0 * columns + j]) } }
    #expect(abs(spectrum(tall, rows: columns).effectiveRank / wide.effectiveRank - 1) < 1e-12)
    // The nearest matrix of a lower rank keeps the largest singular values, and is as far as the others are large.
    let rank = (size + 1) / 2
    for (elements, rows) in [(matrix.map { Float($0) }, size), (tall, columns)] {
      var limited = elements
      limited.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { fatalError("an empty matrix") }
        StateSpectrum.limit(base, rows: rows, columns: elements.count / rows, toRank: rank)
      }
      let kept = spectrum(limited, rows: rows)
      let largest = squares.sorted(by: >)
      #expect(abs(kept.energy / largest[..<rank].reduce(0, +) - 1) < 1e-6)
      let energies = kept.shares.map { $0 * kept.energy }.sorted(by: >)
      for (found, wanted) in zip(energies, largest[..<rank]) {
        #expect(abs(found - wanted) < 1e-6 * total)
      }
      for rest in energies[rank...] { #expect(rest < 1e-10 * total) }
      let distance = zip(elements, limited).reduce(0) {
        $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
      }
      #expect(abs(distance - largest[rank...].reduce(0, +)) < 1e-6 * total)
      if rank == size { #expect(limited == elements) }
    }
  }
}

/// Knuth's 64-bit linear congruential generator: the same matrices in every run.
private struct Congruential: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ (state >> 29)
  }
}
