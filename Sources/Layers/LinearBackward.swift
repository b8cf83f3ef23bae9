import Kernels

extension BlockContext {
  /// Gradients of `out = input weight^T`: the weight's is added to the arena, the input's to `dinput`
  /// (or written there).
  ///
  /// - Parameters:
  ///   - dout: `[R, outputs]`.
  ///   - input: `[R, inputs]`.
  ///   - offset: where the weight `[outputs, inputs]` starts in the arenas.
  ///   - dinput: `[R, inputs]`.
  ///   - accumulate: whether `dinput` is added to.
  ///   - gradients: the arena of gradients.
  func linearBackward(
    _ dout: Matrix, input: Matrix, offset: Int, into dinput: Matrix, accumulate: Bool,
    _ gradients: Floats
  ) {
    matrixProduct(
      dout.transposed, input,
      accumulatingInto: Matrix(gradients + offset, dout.columns, input.columns))
    let weight = Matrix(parameters + offset, dout.columns, input.columns)
    if accumulate {
      matrixProduct(dout, weight, accumulatingInto: dinput)
    } else {
      matrixProduct(dout, weight, into: dinput)
    }
  }
}
