import Kernels
import ReferenceKernels
import TensorStorage

/// Log forget gates of low rank, `max(logsigmoid(W2 (W1 x) + b) / normalizer, minimum)`.
public struct ForgetGate {
  /// `W1`.
  let low: Linear
  /// `W2`, its bias left to the function behind it.
  public let logits: Linear
  /// `b`.
  public let bias: ParameterSlot
  private let normalizer: Float
  private let minimum: Float

  /// Declares `NAME.0` and `NAME.1` for the gates of `channels` channels.
  init(_ name: String, channels: Int, _ c: GLAConfiguration, _ scope: inout ParameterScope) {
    low = scope.linear(name + ".0", outputs: c.gateRank, inputs: c.hiddenSize)
    logits = scope.linear(name + ".1", outputs: channels, inputs: c.gateRank)
    bias = scope.parameter(name + ".1.bias", [channels], .zeros)
    (normalizer, minimum) = (c.gateNormalizer, c.gateClampMinimum ?? -.infinity)
  }

  /// `W2 low`, a product so small that backward repeats it.
  func logits(_ low: Floats, _ context: inout BlockContext) -> Floats {
    let rows = context.dims.rows
    let result = context.scratch.take(rows * logits.outputs)
    logits.forward(Matrix(low, rows, self.low.outputs), into: result, context)
    return result
  }

  /// The log gates `[R, channels]` of logits.
  func forward(_ logits: Floats, _ context: inout BlockContext) -> Floats {
    let result = context.scratch.take(context.dims.rows * self.logits.outputs)
    context.run {
      logGateForward(
        logits, bias: context[bias], into: result, rows: context.dims.rows,
        width: self.logits.outputs, normalizer: normalizer, minimum: minimum,
        history: context.history)
    }
    return result
  }

  /// From the gradient of the log gates to that of the logits, in place; adds that of the bias.
  func backward(inPlace dg: Floats, _ logits: Floats, _ context: inout BlockContext) {
    context.run {
      logGateBackward(
        logits, bias: context[bias], inPlace: dg, rows: context.dims.rows,
        width: self.logits.outputs, normalizer: normalizer, minimum: minimum,
        history: context.history)
    }
    if let dbias = context.gradient(bias) {
      context.addColumnSums(dg, width: self.logits.outputs, accumulatingInto: dbias)
    }
  }

  /// From the gradient of the logits to that of `x`, added to `dx`; adds those of the weights.
  func projectBackward(
    _ dlogits: Floats, low: Floats, x: Matrix, accumulatingInto dx: Floats,
    _ context: inout BlockContext
  ) {
    let mark = context.scratch.used
    let dlow = context.scratch.take(x.rows * self.low.outputs)
    logits.backward(dlogits, x: Matrix(low, x.rows, self.low.outputs), into: dlow, &context)
    self.low.backward(dlow, x: x, into: dx, accumulate: true, &context)
    context.scratch.rewind(to: mark)
  }

  /// The log gates in `Double`.
  func reference(_ x: [Double], _ tensor: TensorValues) -> [Double] {
    let z = logits.reference(low.reference(x, tensor), tensor)
    let bias = tensor(bias)
    return z.indices.map {
      max(logSigmoid(z[$0] + bias[$0 % bias.count]) / Double(normalizer), Double(minimum))
    }
  }
}
