import Kernels
import TensorStorage

/// Lets every head read the keys of all heads, each channel with a learned coefficient.
///
/// A layer with head mixing has one state of Kd x Vd numbers. Its block (h', h) holds keys of head h' with
/// values of head h. Output head h reads its columns with queries mix[h, c] q[c] over all Kd channels:
///
///     o_h = K^-0.5 sum_c mix[h, c] q[c] S[c, values of h]
///
/// which is the recurrence with H heads of Kd key channels, all with the same keys and gates. With
/// mix[h, c] = 1 where channel c is of head h and 0 elsewhere, it is the layer without mixing, and so it
/// starts.
public struct HeadMixing {
  /// `[heads, channels]`.
  public let weight: ParameterSlot
  private let heads: Int
  /// Key channels of all heads.
  private let channels: Int

  /// Declares `NAME.weight`, with each head reading its own keys.
  init(_ name: String, heads: Int, channels: Int, _ scope: inout ParameterScope) {
    let identity = (0..<(heads * channels)).map { index -> Float in
      index % channels / (channels / heads) == index / channels ? 1 : 0
    }
    weight = scope.parameter(name + ".weight", [heads, channels], .values(identity))
    (self.heads, self.channels) = (heads, channels)
  }

  /// What the recurrence reads of `x`, which is that of a layer without mixing.
  func forward(_ x: GLAInputs, _ context: inout BlockContext) -> GLAInputs {
    let count = context.dims.rows * heads * channels
    let result = GLAInputs(
      q: context.scratch.take(count), k: context.scratch.take(count), v: x.v,
      g: context.scratch.take(count))
    context.run {
      headMixingForward(
        x.q, mix: context[weight], into: result.q, rows: context.dims.rows, heads: heads,
        channels: channels)
      spread(x.k, into: result.k, context)
      spread(x.g, into: result.g, context)
    }
    return result
  }

  /// Gradients of `x` from those of `forward(x)`; adds that of the coefficients.
  func backward(
    _ d: GLAGradients, of x: GLAInputs, _ context: inout BlockContext
  ) -> GLAGradients {
    let count = context.dims.rows * channels
    let result = GLAGradients(
      dq: context.scratch.take(count), dk: context.scratch.take(count), dv: d.dv,
      dg: context.scratch.take(count))
    let mark = context.scratch.used
    let partials = context.scratch.take(RowTiles(context.dims.rows).count * heads * channels)
    context.run {
      gather(d.dk, into: result.dk, context)
      gather(d.dg, into: result.dg, context)
      headMixingBackward(
        d.dq, q: x.q, mix: context[weight], into: result.dq, dmix: context.gradient(weight),
        scratch: partials, rows: context.dims.rows, heads: heads, channels: channels)
    }
    context.scratch.rewind(to: mark)
    return result
  }

  private func spread(_ x: Floats, into y: Floats, _ context: BlockContext) {
    repeatHeads(
      x, into: y, rows: context.dims.rows, heads: heads, headDim: channels, groupSize: heads)
  }

  private func gather(_ dy: Floats, into dx: Floats, _ context: BlockContext) {
    sumHeadGroups(
      dy, into: dx, rows: context.dims.rows, heads: heads, headDim: channels, groupSize: heads)
  }

  /// The mixed queries `[R, H, Kd]` in `Double`.
  func reference(_ q: [Double], _ tensor: TensorValues) -> [Double] {
    let mix = tensor(weight)
    return stride(from: 0, to: q.count, by: channels).flatMap { row in
      mix.indices.map { mix[$0] * q[row + $0 % channels] }
    }
  }
}
