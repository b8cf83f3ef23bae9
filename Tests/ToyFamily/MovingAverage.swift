import Foundation
import Kernels
import LanguageModels
import Layers
import TensorStorage

// A model family that no source knows of: exponential moving averages with one learned decay a channel.
//
//   h_t = a h_{t-1} + (1 - a) u_t,   u = in_proj x,   out = out_proj h,   a = sigmoid(decay)

struct MovingAverageFamily: FamilyDefinition {
  let name = "moving_average"
  let title = "Moving average"
  let trunk = "model."
  let finalNormKey = "norm.weight"
}

struct MovingAverageConfiguration: BlockConfiguration {
  var hiddenSize: Int
  /// Averages, each of one number.
  var channels: Int
  var normEpsilon: Float

  var kind: String { "moving_average" }
  var stateMatrices: StateMatrices { StateMatrices(heads: 1, rows: 1, columns: channels) }
  var stateShape: String { "\(channels)" }

  func block(_ scope: inout ParameterScope) -> ResidualBlock<MovingAverage> {
    let norm = RMSNorm("norm", width: hiddenSize, epsilon: normEpsilon, &scope)
    let mixer = MovingAverage(self, &scope)
    return ResidualBlock(PreNormResidual(norm, mixer), nil, scope)
  }

  func shrunken(hiddenSize: Int) -> MovingAverageConfiguration {
    MovingAverageConfiguration(
      hiddenSize: hiddenSize, channels: 5 + channels % 7, normEpsilon: normEpsilon)
  }
}

struct MovingAverage: TokenMixer {
  let input, output: Linear
  let decay: ParameterSlot
  let convolutions: [ShortConvolution] = []

  private var channels: Int { input.outputs }

  init(_ c: MovingAverageConfiguration, _ scope: inout ParameterScope) {
    input = scope.linear("mixer.in_proj", outputs: c.channels, inputs: c.hiddenSize)
    decay = scope.parameter("mixer.decay", [c.channels], .uniform(bound: 3))
    output = scope.linear("mixer.out_proj", outputs: c.hiddenSize, inputs: c.channels)
  }

  var recurrentStateCount: Int { channels }
  var recurrenceFLOPsPerToken: Int { 0 }

  struct Saved {
    let u, h: Floats
  }

  func saved(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Saved {
    Saved(u: plan.take(dims.rows * channels), h: plan.take(dims.rows * channels))
  }

  private func keeps(_ channel: Int, _ context: BlockContext) -> Float {
    1 / (1 + exp(-context[decay][channel]))
  }

  // MARK: Forward

  func project(_ x: Matrix, _ saved: Saved, wantsOutput: Bool, _ context: BlockContext) {
    input.forward(x, into: saved.u, context)
  }

  func finish(
    accumulatingInto out: Floats?, stateInPlace state: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) {
    precondition(context.part == nil, "averages are not divided")
    let dims = context.dims
    context.run {
      for b in 0..<dims.batch {
        for c in 0..<channels {
          let (a, h) = (keeps(c, context), state + b * channels + c)
          for t in 0..<dims.length {
            let i = (b * dims.length + t) * channels + c
            h.pointee = a * h.pointee + (1 - a) * saved.u[i]
            saved.h[i] = h.pointee
          }
        }
      }
    }
    guard let out else { return }
    output.forward(Matrix(saved.h, dims.rows, channels), accumulatingInto: out, context)
  }

  // MARK: Backward

  func finishBackward(
    _ dout: Floats, state: Floats, dstateInPlace dstate: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) -> Floats {
    let dims = context.dims
    let d = context.scratch.take(dims.rows * channels)
    output.backward(dout, x: Matrix(saved.h, dims.rows, channels), into: d, &context)
    context.run {
      for b in 0..<dims.batch {
        for c in 0..<channels {
          let (a, carry) = (keeps(c, context), dstate + b * channels + c)
          var dkeep: Float = 0
          for t in (0..<dims.length).reversed() {
            let i = (b * dims.length + t) * channels + c
            let before = t == 0 ? state[b * channels + c] : saved.h[i - channels]
            let g = d[i] + carry.pointee
            dkeep += g * (before - saved.u[i])
            d[i] = (1 - a) * g
            carry.pointee = a * g
          }
          context.gradient(decay)?[c] += dkeep * a * (1 - a)
        }
      }
    }
    return d
  }

  func projectBackward(
    _ du: Floats, x: Matrix, into dx: Floats, _ saved: Saved, _ context: inout BlockContext
  ) {
    input.backward(du, x: x, into: dx, &context)
  }

  // MARK: Reference

  func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double] {
    let (u, decay) = (input.reference(x, tensor), tensor(decay))
    var h = u
    for i in u.indices {
      let (a, row) = (1 / (1 + exp(-decay[i % channels])), i / channels)
      let isFirst = row % (u.count / channels / batch) == 0
      h[i] = a * (isFirst ? 0 : h[i - channels]) + (1 - a) * u[i]
    }
    return output.reference(h, tensor)
  }
}
