import Kernels
import ReferenceKernels
import TensorStorage

/// What happens to q, k, v or the log gates between their projection and the recurrence: an optional
/// short convolution, an optional elementwise function, and the repetition of shared heads.
struct ChannelTransform {
  /// Heads after repetition.
  var heads: Int
  /// Channels of a head.
  var headDim: Int
  /// Heads that share one projected head; head h reads projected head h / groupSize.
  var groupSize: Int
  /// The convolution, nil for none.
  var convolution: ShortConvolution?
  /// Function after the convolution, nil for none.
  var function: ElementwiseFunction?

  /// Channels before repetition.
  private var projected: Int { heads / groupSize * headDim }
  /// Whether the recurrence can read the projection itself.
  private var isIdentity: Bool { convolution == nil && function == nil && groupSize == 1 }

  /// Transforms projected values.
  ///
  /// - Parameters:
  ///   - x: projected values `[B, T, projected]`.
  ///   - tails: those of the mixer's convolutions.
  ///   - advancesTail: whether the tail moves on to the segment's end.
  ///   - context: the call; the result stays in its scratch.
  /// - Returns: the transformed values `[B, T, channels]`: `x` itself when there is nothing to do.
  func forward(
    _ x: Floats, tails: Floats, advancesTail: Bool, _ context: inout BlockContext
  ) -> Floats {
    if isIdentity { return x }
    let rows = context.dims.rows
    let result = context.scratch.take(rows * heads * headDim)
    let mark = context.scratch.used
    let y = groupSize == 1 ? result : context.scratch.take(rows * projected)
    var source = x
    if let convolution {
      convolution.forward(x, into: y, tails: tails, advancesTail: advancesTail, &context)
      source = y
    }
    context.run {
      if let function {
        elementwiseForward(function, source, into: y, count: rows * projected)
      } else if source != y {
        copy(source, count: rows * projected, into: y)
      }
      if groupSize > 1 {
        repeatHeads(
          y, into: result, rows: rows, heads: heads, headDim: headDim, groupSize: groupSize)
      }
    }
    context.scratch.rewind(to: mark)
    return result
  }

  /// Gradients of `forward`.
  ///
  /// - Parameters:
  ///   - dy: `[B, T, channels]`, used up.
  ///   - x: projected values.
  ///   - tails: those of the mixer's convolutions before the segment.
  ///   - dtails: their gradients, as in `ShortConvolution.backward`.
  ///   - context: the call; the result stays in its scratch.
  /// - Returns: the gradient of the projected values `[B, T, projected]`; may be `dy` itself.
  func backward(
    _ dy: Floats, x: Floats, tails: Floats, dtails: Floats, _ context: inout BlockContext
  ) -> Floats {
    if isIdentity { return dy }
    let count = context.dims.rows * projected
    var dx = dy
    if groupSize > 1 {
      dx = context.scratch.take(count)
      context.run {
        sumHeadGroups(
          dy, into: dx, rows: context.dims.rows, heads: heads, headDim: headDim,
          groupSize: groupSize)
      }
    }
    if let function {
      let mark = context.scratch.used
      var source = x
      if let convolution {
        source = context.scratch.take(count)
        convolution.forward(x, into: source, tails: tails, advancesTail: false, &context)
      }
      context.run { elementwiseBackward(function, source, inPlace: dx, count: count) }
      context.scratch.rewind(to: mark)
    }
    convolution?.backward(inPlace: dx, x: x, tails: tails, dtails: dtails, &context)
    return dx
  }

  /// The transformation in `Double`, from an empty past.
  func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double] {
    let convolved = convolution?.reference(x, batch: batch, tensor) ?? x
    let values = function.map { function in convolved.map(function.reference) } ?? convolved
    return repeated(values, width: headDim, times: groupSize)
  }
}

/// Each run of `width` numbers, `times` times.
func repeated(_ x: [Double], width: Int, times: Int) -> [Double] {
  stride(from: 0, to: x.count, by: width).flatMap { first in
    (0..<times).flatMap { _ in x[first..<(first + width)] }
  }
}
