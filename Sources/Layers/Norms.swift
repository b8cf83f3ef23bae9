import Kernels
import ReferenceKernels
import TensorStorage

/// `y = x / sqrt(mean(x^2) + epsilon) * w` of every row.
public struct RMSNorm {
  /// `[width]`.
  public let weight: ParameterSlot
  let width: Int
  let epsilon: Float

  /// Declares a norm, `NAME.weight`, that starts with ones.
  public init(_ name: String, width: Int, epsilon: Float, _ scope: inout ParameterScope) {
    weight = scope.parameter(name + ".weight", [width], .ones)
    (self.width, self.epsilon) = (width, epsilon)
  }

  /// What backward needs: each row's factor.
  typealias Saved = Floats

  func saved(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Saved { plan.take(dims.rows) }

  func forward(_ x: Floats, into y: Floats, _ rstd: Saved, _ context: BlockContext) {
    context.run {
      rmsNormForward(
        x, weight: context[weight], into: y, rstd: rstd, rows: context.dims.rows, width: width,
        epsilon: epsilon)
    }
  }

  /// Forward again, from what it saved.
  func recompute(_ x: Floats, into y: Floats, _ rstd: Saved, _ context: BlockContext) {
    context.run {
      rmsNormRecompute(
        x, weight: context[weight], rstd: rstd, into: y, rows: context.dims.rows, width: width)
    }
  }

  func backward(
    _ dy: Floats, x: Floats, accumulatingInto dx: Floats, _ rstd: Saved,
    _ context: inout BlockContext
  ) {
    let mark = context.scratch.used
    let partials = context.scratch.take(RowTiles(context.dims.rows).count * width)
    context.run {
      rmsNormBackward(
        dy, x: x, weight: context[weight], rstd: rstd, into: dx, accumulate: true,
        dweight: context.gradient(weight), scratch: partials, rows: context.dims.rows,
        width: width)
    }
    context.scratch.rewind(to: mark)
  }

  /// The norm in `Double`.
  func reference(_ x: [Double], _ tensor: TensorValues) -> [Double] {
    rmsNorm(x, weight: tensor(weight), width: width, epsilon: Double(epsilon))
  }
}

/// An RMSNorm of each head or group of a row, with a gate `silu(z)` behind or before it.
public struct GatedNorm {
  /// Which comes first.
  enum Order {
    /// `rmsnorm(x) w silu(z)`, one weight for all heads: GLA.
    case normThenGate
    /// `rmsnorm(x silu(z)) w`, a weight for each channel: Mamba2.
    case gateThenNorm
  }

  /// `[width]` or `[heads, width]`; nil for ones.
  public let weight: ParameterSlot?
  let order: Order
  let heads: Int
  let width: Int
  let epsilon: Float

  /// Declares a norm over `heads` heads of `width` channels; its weight starts with ones.
  init(
    _ name: String, _ order: Order, heads: Int, width: Int, epsilon: Float, hasWeight: Bool = true,
    _ scope: inout ParameterScope
  ) {
    (self.order, self.heads, self.width, self.epsilon) = (order, heads, width, epsilon)
    let count = order == .normThenGate ? width : heads * width
    weight = hasWeight ? scope.parameter(name + ".weight", [count], .ones) : nil
  }

  /// What backward needs: each head's factor.
  typealias Saved = Floats

  func saved(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Saved {
    plan.take(dims.rows * heads)
  }

  private func dims(_ context: BlockContext) -> HeadNormDims {
    HeadNormDims(rows: context.dims.rows, heads: heads, width: width, epsilon: epsilon)
  }

  /// - Precondition: with the gate first there are a gate and a weight.
  func forward(
    _ x: Floats, gate: Floats?, into y: Floats, _ rstd: Saved, _ context: BlockContext
  ) {
    let values = weight.map { context[$0] }
    context.run {
      switch (order, gate, values) {
      case (.normThenGate, _, _):
        gatedHeadNormForward(
          x, weight: values, gate: gate, into: y, rstd: rstd, dims: dims(context))
      case (.gateThenNorm, let gate?, let values?):
        gatedRMSNormForward(
          x, gate: gate, weight: values, into: y, rstd: rstd, dims: dims(context))
      case (.gateThenNorm, _, _): fatalError("a norm behind a gate has gate and weight")
      }
    }
  }

  /// Gradients, which take the places of `x` and of the gate.
  func backward(
    _ dy: Floats, xInPlace x: Floats, gateInPlace gate: Floats?, _ rstd: Saved,
    _ context: inout BlockContext
  ) {
    let mark = context.scratch.used
    let (dims, values) = (dims(context), weight.map { context[$0] })
    let partials = context.scratch.take(
      order == .normThenGate
        ? 2 * RowTiles(dims.rows).count * width : gatedRMSNormScratchCount(dims))
    context.run {
      switch (order, gate, values) {
      case (.normThenGate, _, _):
        gatedHeadNormBackward(
          dy, x: x, weight: values, gate: gate, rstd: rstd, into: x, dgate: gate,
          dweight: context.gradient(weight), scratch: partials, dims: dims)
      case (.gateThenNorm, let gate?, let values?):
        gatedRMSNormBackward(
          dy, x: x, gate: gate, weight: values, rstd: rstd, into: x, dgate: gate,
          dweight: context.gradient(weight), scratch: partials, dims: dims)
      case (.gateThenNorm, _, _): fatalError("a norm behind a gate has gate and weight")
      }
    }
    context.scratch.rewind(to: mark)
  }

  /// The norm in `Double`.
  func reference(_ x: [Double], gate: [Double]?, _ tensor: TensorValues) -> [Double] {
    func gated(_ y: [Double]) -> [Double] {
      gate.map { gate in zip(y, gate).map { $0 * silu($1) } } ?? y
    }
    let normed = rmsNorm(
      order == .gateThenNorm ? gated(x) : x, weight: nil, width: width, epsilon: Double(epsilon))
    let values = weight.map(tensor) ?? [1]
    let y = normed.indices.map { normed[$0] * values[$0 % values.count] }
    return order == .normThenGate ? gated(y) : y
  }
}
