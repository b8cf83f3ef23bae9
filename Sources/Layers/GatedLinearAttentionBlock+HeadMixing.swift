import Kernels
import TensorStorage

// A layer with head mixing has one state of Kd x Vd numbers. Its block (h', h) holds keys of head h' with
// values of head h. Output head h reads its columns with queries mix[h, c] q[c] over all Kd channels:
//
//   o_h = K^-0.5 sum_c mix[h, c] q[c] S[c, values of h]
//
// which is the recurrence with H heads of Kd key channels, all with the same keys and gates. With
// mix[h, c] = 1 where channel c is of head h and 0 elsewhere, it is the layer without mixing.

extension GatedLinearAttentionBlock {
  /// Floats of one mixed array, `[R, H, Kd]`; 0 without mixing.
  func mixedCount(_ dims: SegmentDims) -> Int {
    offsets.headMixing == nil
      ? 0 : dims.rows * configuration.headCount * configuration.keyDim
  }

  /// What the recurrence reads of `inputs`, which are those of a layer without mixing.
  func mixed(_ inputs: GLAInputs, _ context: BlockContext, _ plan: inout MemoryPlan) -> GLAInputs {
    guard let mixing = offsets.headMixing else { return inputs }
    let (heads, channels) = (configuration.headCount, configuration.keyDim)
    let (rows, count) = (context.dims.rows, mixedCount(context.dims))
    let result = GLAInputs(
      q: plan.take(count), k: plan.take(count), v: inputs.v, g: plan.take(count))
    headMixingForward(
      inputs.q, mix: context.parameters + mixing, into: result.q, rows: rows, heads: heads,
      channels: channels)
    for (source, target) in [(inputs.k, result.k), (inputs.g, result.g)] {
      repeatHeads(
        source, into: target, rows: rows, heads: heads, headDim: channels, groupSize: heads)
    }
    return result
  }

  /// Gradients of `inputs` from those of `mixed(inputs)`; adds that of the mixing coefficients.
  func unmixed(
    _ d: GLAGradients, of inputs: GLAInputs, _ gradients: Floats?, _ context: BlockContext,
    _ plan: inout MemoryPlan
  ) -> GLAGradients {
    guard let mixing = offsets.headMixing else { return d }
    let (heads, channels) = (configuration.headCount, configuration.keyDim)
    let rows = context.dims.rows
    let result = GLAGradients(
      dq: plan.take(rows * channels), dk: plan.take(rows * channels), dv: d.dv,
      dg: plan.take(rows * channels))
    for (source, target) in [(d.dk, result.dk), (d.dg, result.dg)] {
      sumHeadGroups(
        source, into: target, rows: rows, heads: heads, headDim: channels, groupSize: heads)
    }
    let mark = plan.used
    headMixingBackward(
      d.dq, q: inputs.q, mix: context.parameters + mixing, into: result.dq,
      dmix: gradients.map { $0 + mixing }, scratch: plan.take(mixingPartialCount(context.dims)),
      rows: rows,
      heads: heads, channels: channels)
    plan.rewind(to: mark)
    return result
  }

  /// Floats of scratch for the sums over tiles of rows.
  private func mixingPartialCount(_ dims: SegmentDims) -> Int {
    RowTiles(dims.rows).count * configuration.headCount * configuration.keyDim
  }

  /// Floats that `mixed`, the recurrence's gradients and `unmixed` take from the plan besides what a
  /// layer without mixing takes.
  func mixingScratchCount(_ dims: SegmentDims) -> Int {
    offsets.headMixing == nil ? 0 : 6 * mixedCount(dims) + mixingPartialCount(dims) + 64 * 8
  }
}
