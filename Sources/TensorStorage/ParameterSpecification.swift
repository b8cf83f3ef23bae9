import Foundation

/// How the values of a new parameter are drawn.
public enum ParameterInitializer: Sendable, Equatable {
  case zeros
  case ones
  case normal(standardDeviation: Double)
  /// Uniform in [-bound, bound).
  case uniform(bound: Double)
  /// Uniform in [-b, b) with `b = gain * sqrt(6 / (fan_in + fan_out))`, for a `[fan_out, fan_in]`
  /// matrix (Glorot and Bengio, 2010).
  case xavierUniform(gain: Double)
  /// `log(u)`, u uniform in [low, high): Mamba2's decay rates.
  case logOfUniform(low: Double, high: Double)
  /// The x for which `softplus(x)` is log-uniform in [low, high): biases of Mamba2's time steps.
  case inverseSoftplusOfLogUniform(low: Double, high: Double)
  /// The given values, repeated if there are fewer than the tensor holds.
  case values([Float])

  /// Fills `elements` of a tensor of that shape; the stream depends on (seed, name) only.
  public func fill(
    _ elements: UnsafeMutableBufferPointer<Float>, shape: [Int], name: String, seed: UInt64
  ) {
    var random = CounterRandom(seed: seed, purpose: "init/" + name)
    switch self {
    case .zeros: elements.update(repeating: 0)
    case .ones: elements.update(repeating: 1)
    case .normal(let deviation):
      for i in elements.indices { elements[i] = Float(deviation * random.normal()) }
    case .uniform(let bound):
      for i in elements.indices { elements[i] = Float(random.uniform(-bound, bound)) }
    case .xavierUniform(let gain):
      let fanOut = shape.first ?? 1
      let fanIn = elements.count / max(fanOut, 1)
      let bound = gain * (6 / Double(fanIn + fanOut)).squareRoot()
      for i in elements.indices { elements[i] = Float(random.uniform(-bound, bound)) }
    case .logOfUniform(let low, let high):
      for i in elements.indices { elements[i] = Float(log(random.uniform(low, high))) }
    case .inverseSoftplusOfLogUniform(let low, let high):
      for i in elements.indices {
        let step = exp(random.uniform(log(low), log(high)))
        elements[i] = Float(step + log(-expm1(-step)))
      }
    case .values(let values):
      for i in elements.indices { elements[i] = values[i % values.count] }
    }
  }
}

/// A parameter that a layer declares: its checkpoint key, shape and initial values.
public struct ParameterSpecification: Sendable, Equatable {
  /// The checkpoint key.
  public let name: String
  /// Row-major shape.
  public let shape: [Int]
  /// How its first values are drawn.
  public let initializer: ParameterInitializer

  /// Names the parts.
  public init(name: String, shape: [Int], initializer: ParameterInitializer) {
    self.name = name
    self.shape = shape
    self.initializer = initializer
  }
}
