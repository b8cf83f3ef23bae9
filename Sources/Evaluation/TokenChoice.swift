import Foundation
import Kernels
import TensorStorage

/// How the next token is chosen from its logits.
public enum TokenChoice: Sendable, Equatable {
  /// The most likely token; of equal ones the first.
  case greedy
  /// Drawn; the draws depend on the seed and the token's number only.
  case sampled(Sampling, seed: UInt64)

  /// The id chosen as generated token `index`, or nil when the logits are not numbers.
  func token(_ logits: UnsafeBufferPointer<Float>, index: Int) -> Int32? {
    guard let base = logits.baseAddress, let best = argmax(base, count: logits.count) else {
      return nil
    }
    guard case .sampled(let sampling, let seed) = self else { return Int32(best) }
    let weights = sampling.weights(Array(logits))
    var random = CounterRandom(seed: seed, purpose: "generate", index: UInt64(index))
    var rest = random.uniform() * weights.reduce(0, +)
    for (id, weight) in weights.enumerated() {
      rest -= weight
      if rest < 0 { return Int32(id) }
    }
    return Int32(best)
  }
}

/// What tokens are drawn from: `softmax(logits / temperature)`, cut to likely tokens.
public struct Sampling: Sendable, Equatable {
  /// Above 0; towards 0 it is greedy.
  public var temperature: Double
  /// Only tokens at least as likely as the k-th are drawn; nil for all.
  public var topK: Int?
  /// Then only the most likely tokens whose probabilities first add up to `topP`, of equally likely ones
  /// those of the lowest ids; nil for all.
  public var topP: Double?

  /// Names the numbers; `temperature` and `topP` are above 0, `topK` at least 1.
  public init(temperature: Double = 1, topK: Int? = nil, topP: Double? = nil) {
    (self.temperature, self.topK, self.topP) = (temperature, topK, topP)
  }

  /// The probability of each token, up to a common factor; 0 for those that are cut off.
  package func weights(_ logits: [Float]) -> [Double] {
    let largest = Double(logits.max() ?? 0)
    var weights = logits.map { exp((Double($0) - largest) / temperature) }
    if let topK, topK < weights.count {
      let least = logits.sorted(by: >)[topK - 1]
      for id in weights.indices where logits[id] < least { weights[id] = 0 }
    }
    if let topP, topP < 1 {
      let order = weights.indices.sorted {
        weights[$0] == weights[$1] ? $0 < $1 : weights[$0] > weights[$1]
      }
      let enough = topP * weights.reduce(0, +)
      var sum = 0.0
      for id in order {
        if sum >= enough { weights[id] = 0 } else { sum += weights[id] }
      }
    }
    return weights
  }
}
