import Evaluation
import Foundation
import Kernels
import Testing

@Suite("Drawing tokens")
struct SamplingTests {
  private let logits: [Float] = [log(4), log(1), log(2), log(2), log(1)]

  private func weights(_ sampling: Sampling) -> [Double] {
    let weights = sampling.weights(logits)
    return weights.map { ($0 / weights.reduce(0, +) * 1e6).rounded() / 1e6 }
  }

  @Test("probabilities are those of the temperature")
  func temperature() {
    #expect(weights(Sampling()) == [0.4, 0.1, 0.2, 0.2, 0.1])
    // Squared: 16, 1, 4, 4, 1 of 26.
    let sharp = weights(Sampling(temperature: 0.5))
    #expect(abs(sharp[0] - 16.0 / 26) < 1e-6 && abs(sharp[2] - 4.0 / 26) < 1e-6)
  }

  @Test("top-k keeps what is as likely as the k-th")
  func topK() {
    #expect(weights(Sampling(topK: 1)) == [1, 0, 0, 0, 0])
    #expect(weights(Sampling(topK: 2)) == [0.5, 0, 0.25, 0.25, 0])
    #expect(weights(Sampling(topK: 3)) == [0.5, 0, 0.25, 0.25, 0])
    #expect(weights(Sampling(topK: 9)) == weights(Sampling()))
  }

  @Test("top-p keeps the fewest that are likely enough, the first of equal ones")
  func topP() {
    #expect(weights(Sampling(topP: 0.01)) == [1, 0, 0, 0, 0])
    #expect(weights(Sampling(topP: 0.39)) == [1, 0, 0, 0, 0])
    #expect(weights(Sampling(topP: 0.5)) == [0.666667, 0, 0.333333, 0, 0])
    #expect(weights(Sampling(topP: 0.79)) == [0.5, 0, 0.25, 0.25, 0])
    #expect(weights(Sampling(topP: 0.85)).filter { $0 > 0 }.count == 4)
    #expect(weights(Sampling(topP: 1)) == weights(Sampling()))
    // Of what top-k leaves: 0.5, 0.25, 0.25.
    #expect(weights(Sampling(topK: 3, topP: 0.4)) == [1, 0, 0, 0, 0])
  }

  @Test("draws have the probabilities, and never what is cut off")
  func draws() throws {
    let model = automaton(vocabulary: 16, [1: 2], otherwise: 0)
    let generator = Generator(model)
    // Logit 4 for id 2, 0 for the others.
    var counts = [Int](repeating: 0, count: 16)
    for seed in 0..<2000 {
      let drawn = try generator.continuation(
        of: [1], maximumNewTokens: 1, choice: .sampled(Sampling(), seed: UInt64(seed)))
      counts[Int(drawn[0])] += 1
    }
    let likely = exp(4.0) / (exp(4.0) + 15)
    #expect(
      abs(Double(counts[2]) - 2000 * likely) < 4 * (2000 * likely * (1 - likely)).squareRoot())
    #expect(counts.allSatisfy { $0 > 0 })
    for seed in 0..<50 {
      let cut = try generator.continuation(
        of: [1], maximumNewTokens: 1, choice: .sampled(Sampling(topK: 1), seed: UInt64(seed)))
      #expect(cut == [2])
    }
  }
}
