import Optimizers
import TensorStorage

/// Optimizers that no source knows of: with no moment, with one that is stored in bf16, and with three.
public enum ToyOptimizer: String, OptimizerConfiguration, CaseIterable {
  /// `p -= lr g`.
  case descent
  /// `m = 0.9 m + g; p -= lr m`.
  case momentum
  /// Adam whose second moment never falls.
  case amsgrad

  /// Names of the moments in a checkpoint.
  public var momentNames: [String] {
    switch self {
    case .descent: []
    case .momentum: ["velocity"]
    case .amsgrad: ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]
    }
  }

  /// How all of them are stored.
  public var precision: MomentPrecision { self == .momentum ? .bf16 : .fp32 }

  /// Bytes of all moments of an element.
  public var stateByteCount: Int { momentNames.count * precision.byteCount }

  /// Makes the optimizer, its moments zero.
  public func makeOptimizer(layout: ParameterLayout, ranges: [Range<Int>]) -> any Optimizer {
    ToyUpdates(self, ranges)
  }
}

private final class ToyUpdates: Optimizer {
  let ranges: [Range<Int>]
  let state: [OptimizerState]
  private let kind: ToyOptimizer

  init(_ kind: ToyOptimizer, _ ranges: [Range<Int>]) {
    (self.kind, self.ranges) = (kind, ranges)
    let count = ranges.reduce(0) { $0 + $1.count }
    state = kind.momentNames.map {
      OptimizerState($0, Moments(count: count, precision: kind.precision))
    }
  }

  func update(
    _ parameters: FloatBuffer, gradients: FloatBuffer, step: Int, lr: Double, gradientNorm: Double
  ) {
    let (clip, lr) = (Float(1 / max(gradientNorm, 1)), Float(lr))
    var index = 0
    for i in ranges.joined() {
      let gradient = clip * gradients.pointer[i]
      parameters.pointer[i] -= lr * direction(gradient, index)
      index += 1
    }
  }

  /// What is subtracted for a gradient, after its moments moved on.
  private func direction(_ gradient: Float, _ index: Int) -> Float {
    switch (kind, state.map(\.values)) {
    case (.momentum, let moments):
      guard case .bf16(let velocity)? = moments.first else { return .nan }
      let moved = BFloat16(0.9 * Float(velocity.pointer[index]) + gradient)
      velocity.pointer[index] = moved
      return Float(moved)
    case (.amsgrad, let moments):
      guard case .fp32(let first) = moments[0], case .fp32(let second) = moments[1],
        case .fp32(let largest) = moments[2]
      else { return .nan }
      let (m, v, most) = (first.pointer + index, second.pointer + index, largest.pointer + index)
      m.pointee = 0.9 * m.pointee + 0.1 * gradient
      v.pointee = 0.95 * v.pointee + 0.05 * gradient * gradient
      most.pointee = max(most.pointee, v.pointee)
      return m.pointee / (most.pointee.squareRoot() + 1e-8)
    case (.descent, _): return gradient
    }
  }
}
