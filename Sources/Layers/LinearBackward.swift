import Kernels

extension BlockContext {
  /// Where the gradient of an optional tensor goes; nil without the tensor, and in a frozen block.
  func gradient(_ offset: Int?, _ gradients: Floats?) -> Floats? {
    guard let offset, let gradients else { return nil }
    return gradients + offset
  }

  /// Calls `body` with an operand of several weights' gradients, shared by their products.
  ///
  /// In a frozen block nothing reads it, so it may hold anything and is not prepared.
  func withWeightOperand(_ input: Matrix, _ gradients: Floats?, _ body: (Matrix) -> Void) {
    if gradients == nil { body(input) } else { withSharedOperand(input, body) }
  }

  /// Gradients of `out = input weight^T`: the weight's is added to the arena, the input's to `dinput`
  /// (or written there).
  ///
  /// In a frozen block `input` is not read. It is read before `dinput` is written.
  ///
  /// - Parameters:
  ///   - dout: `[R, outputs]`.
  ///   - input: `[R, inputs]`.
  ///   - offset: where the weight `[outputs, inputs]` starts in the arenas.
  ///   - dinput: `[R, inputs]`; unless added to, it may be `input` itself.
  ///   - accumulate: whether `dinput` is added to.
  ///   - gradients: the arena of gradients; nil in a frozen block.
  func linearBackward(
    _ dout: Matrix, input: Matrix, offset: Int, into dinput: Matrix, accumulate: Bool,
    _ gradients: Floats?
  ) {
    if let gradients {
      matrixProduct(
        dout.transposed, input,
        accumulatingInto: Matrix(gradients + offset, dout.columns, input.columns))
    }
    let weight = Matrix(parameters + offset, dout.columns, input.columns)
    if accumulate {
      matrixProduct(dout, weight, accumulatingInto: dinput)
    } else {
      matrixProduct(dout, weight, into: dinput)
    }
  }
}
