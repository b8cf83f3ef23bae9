import Optimizers
import TensorStorage
import Testing

/// What the trainer, the plan and the checkpoint know of an optimizer.
@Suite struct OptimizerProtocolTests {
  /// Descent with momentum: one number an element, another name.
  private final class Momentum: Optimizer {
    let ranges: [Range<Int>]
    private let velocity: Moments

    init(ranges: [Range<Int>]) {
      self.ranges = ranges
      velocity = Moments(count: ranges.reduce(0) { $0 + $1.count }, precision: .fp32)
    }

    var state: [OptimizerState] { [OptimizerState("velocity", velocity)] }

    func update(
      _ parameters: FloatBuffer, gradients: FloatBuffer, step: Int, lr: Double,
      gradientNorm: Double
    ) {
      guard case .fp32(let velocity) = velocity else { return }
      var index = 0
      for element in ranges.joined() {
        velocity.pointer[index] = 0.9 * velocity.pointer[index] + gradients.pointer[element]
        parameters.pointer[element] -= Float(lr) * velocity.pointer[index]
        index += 1
      }
    }
  }

  private struct MomentumConfiguration: OptimizerConfiguration {
    var stateByteCount: Int { 4 }

    func makeOptimizer(layout: ParameterLayout, ranges: [Range<Int>]) -> any Optimizer {
      Momentum(ranges: ranges)
    }
  }

  @Test(arguments: [
    (MomentumConfiguration() as any OptimizerConfiguration, ["velocity"]),
    (
      AdamWConfiguration(
        beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, gradientClip: nil, moments: .bf16),
      ["exp_avg", "exp_avg_sq"]
    ),
  ])
  func sizeAndNamesAreTheOptimizersOwn(
    _ configuration: any OptimizerConfiguration, _ names: [String]
  ) {
    var layout = ParameterLayout()
    layout.append(name: "w", shape: [40, 30])
    let ranges = [0..<100, 300..<310]
    let optimizer = configuration.makeOptimizer(layout: layout, ranges: ranges)
    #expect(optimizer.ranges == ranges && optimizer.state.map(\.name) == names)
    let bytes = optimizer.state.reduce(0) { $0 + $1.values.precision.byteCount }
    #expect(bytes == configuration.stateByteCount)
    let (parameters, gradients) = (FloatBuffer(count: 1200), FloatBuffer(count: 1200))
    gradients.fill(1)
    optimizer.update(parameters, gradients: gradients, step: 1, lr: 0.5, gradientNorm: 1)
    let moved = parameters.array().enumerated().filter { $0.element != 0 }.map(\.offset)
    #expect(moved == Array(ranges.joined()))
    #expect(optimizer.state.allSatisfy { $0.values.array().count == 110 })
    #expect(optimizer.state[0].values.array().allSatisfy { $0 != 0 })
  }
}
