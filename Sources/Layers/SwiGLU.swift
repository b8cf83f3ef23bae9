import Kernels
import ReferenceKernels
import TensorStorage

/// A gated MLP, `down(silu(gate x) * up x)`.
public struct SwiGLU: ResidualBranch {
  let gate, up, down: Linear

  /// Declares `NAME.gate_proj`, `NAME.up_proj` and `NAME.down_proj`.
  init(_ name: String, hiddenSize: Int, innerSize: Int, _ scope: inout ParameterScope) {
    gate = scope.linear(name + ".gate_proj", outputs: innerSize, inputs: hiddenSize)
    up = scope.linear(name + ".up_proj", outputs: innerSize, inputs: hiddenSize)
    down = scope.linear(name + ".down_proj", outputs: hiddenSize, inputs: innerSize)
  }

  private var innerSize: Int { gate.outputs }

  /// What forward projected; backward puts their gradients in their places.
  public struct Saved {
    let gate, up: Floats
  }

  /// Takes memory for the activations.
  public func saved(_ plan: inout MemoryPlan, _ dims: SegmentDims) -> Saved {
    Saved(gate: plan.take(dims.rows * innerSize), up: plan.take(dims.rows * innerSize))
  }

  /// Gate and up projection.
  public func project(
    _ x: Matrix, _ saved: Saved, wantsOutput: Bool, _ context: BlockContext
  ) {
    gate.forward(x, into: saved.gate, context)
    up.forward(x, into: saved.up, context)
  }

  /// `out += down(silu(gate) * up)`.
  public func finish(
    accumulatingInto out: Floats?, stateInPlace state: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) {
    guard let out else { return }
    let count = context.dims.rows * innerSize
    let hidden = context.scratch.take(count)
    context.run { swiGLUForward(gate: saved.gate, up: saved.up, into: hidden, count: count) }
    down.forward(
      Matrix(hidden, context.dims.rows, innerSize), accumulatingInto: out, context)
  }

  /// Gradients of gate and up, in their places.
  public func finishBackward(
    _ dout: Floats, state: Floats, dstateInPlace dstate: Floats, _ saved: Saved,
    _ context: inout BlockContext
  ) {
    let (rows, mark) = (context.dims.rows, context.scratch.used)
    // The hidden rows, then their gradient in the same place.
    let hidden = context.scratch.take(rows * innerSize)
    if context.gradients != nil {
      context.run {
        swiGLUForward(gate: saved.gate, up: saved.up, into: hidden, count: rows * innerSize)
      }
    }
    down.backward(dout, x: Matrix(hidden, rows, innerSize), into: hidden, &context)
    context.run {
      swiGLUBackward(
        hidden, gateInPlace: saved.gate, upInPlace: saved.up, count: rows * innerSize)
    }
    context.scratch.rewind(to: mark)
  }

  /// Gradients of the weights and the input.
  public func projectBackward(
    _ projected: Void, x: Matrix, into dx: Floats, _ saved: Saved, _ context: inout BlockContext
  ) {
    gate.backward(saved.gate, x: x, into: dx, &context)
    up.backward(saved.up, x: x, into: dx, accumulate: true, &context)
  }

  /// The MLP in `Double`.
  public func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double] {
    let (gate, up) = (gate.reference(x, tensor), up.reference(x, tensor))
    return down.reference(zip(gate, up).map { silu($0) * $1 }, tensor)
  }
}
