import ErrorReporting
import Kernels
import ReferenceKernels
import TensorStorage

/// A causal depthwise convolution over a few tokens, then SiLU.
///
/// Its state is a tail of the last `taps - 1` inputs. The tails of a mixer's convolutions lie one behind
/// the other after its recurrent state.
public struct ShortConvolution {
  /// `[channels, 1, taps]`.
  public let weight: ParameterSlot
  /// `[channels]`, or nil.
  public let bias: ParameterSlot?
  let channels: Int
  let taps: Int
  /// Floats of one sequence before this tail among the tails of the mixer.
  let tailOffset: Int

  /// Declares a convolution, `NAME.weight` and perhaps `NAME.bias`, drawn as `torch.nn.Conv1d`.
  init(
    _ name: String, channels: Int, taps: Int, hasBias: Bool = false, tailOffset: Int = 0,
    _ scope: inout ParameterScope
  ) {
    require(taps >= 1, "a convolution of \(taps) taps")
    let draw = ParameterInitializer.uniform(bound: 1 / Double(taps).squareRoot())
    weight = scope.parameter(name + ".weight", [channels, 1, taps], draw)
    bias = hasBias ? scope.parameter(name + ".bias", [channels], draw) : nil
    (self.channels, self.taps, self.tailOffset) = (channels, taps, tailOffset)
  }

  /// Floats of one sequence's tail.
  var tailCount: Int { (taps - 1) * channels }

  /// This convolution's tail among those of the mixer.
  func tail(of tails: Floats, batch: Int) -> Floats { tails + batch * tailOffset }

  func dims(_ dims: SegmentDims) -> ConvolutionDims {
    ConvolutionDims(batch: dims.batch, length: dims.length, channels: channels, taps: taps)
  }

  private func arrays(_ x: Floats, _ tail: Floats, _ context: BlockContext) -> ConvolutionArrays {
    ConvolutionArrays(
      x: x, tail: tail, weight: context[weight], bias: bias.map { context[$0] },
      history: context.history)
  }

  /// Convolves a segment.
  ///
  /// - Parameters:
  ///   - x: inputs `[B, T, D]`.
  ///   - y: `[B, T, D]`, overwritten.
  ///   - tails: those of the mixer.
  ///   - advancesTail: whether the tail moves on to the segment's end.
  ///   - context: the call.
  func forward(
    _ x: Floats, into y: Floats, tails: Floats, advancesTail: Bool, _ context: inout BlockContext
  ) {
    let (dims, mark) = (dims(context.dims), context.scratch.used)
    let tail = tail(of: tails, batch: dims.batch)
    let scratch = context.scratch.take(dims.scratchCount)
    context.run {
      causalConvolutionForward(
        arrays(x, tail, context), into: y, nextTail: advancesTail ? tail : nil, scratch: scratch,
        dims: dims)
    }
    context.scratch.rewind(to: mark)
  }

  /// Gradients; `dy` becomes that of `x`.
  ///
  /// - Parameters:
  ///   - dy: in, the gradient of `y`; out, that of `x`.
  ///   - x: as in forward.
  ///   - tails: those of the mixer before the segment.
  ///   - dtails: their gradients, moved back over the segment.
  ///   - context: the call.
  func backward(
    inPlace dy: Floats, x: Floats, tails: Floats, dtails: Floats, _ context: inout BlockContext
  ) {
    let (dims, mark) = (dims(context.dims), context.scratch.used)
    let scratch = context.scratch.take(dims.scratchCount)
    context.run {
      causalConvolutionBackward(
        dy, arrays(x, tail(of: tails, batch: dims.batch), context), into: dy,
        dtailInPlace: tail(of: dtails, batch: dims.batch), dweight: context.gradient(weight),
        dbias: context.gradient(bias), scratch: scratch, dims: dims)
    }
    context.scratch.rewind(to: mark)
  }

  /// The convolution in `Double`, from an empty past.
  func reference(_ x: [Double], batch: Int, _ tensor: TensorValues) -> [Double] {
    causalConvolutionSiLU(
      x, weight: tensor(weight), bias: bias.map(tensor), batch: batch, channels: channels)
  }
}
