import Foundation
import Layers
import ReferenceKernels

extension ReferenceModel {
  /// `x + out_proj(norm(y * silu(z)))`; parameters by their name in the block.
  func mamba2Block(
    _ x: [Double], _ c: Mamba2Configuration, batch: Int, _ tensor: (String) -> [Double]?
  ) -> [Double] {
    let epsilon = Double(c.normEpsilon)
    func project(_ y: [Double], _ name: String, columns: Int) -> [Double] {
      let y = linear(y, tensor(name + ".weight") ?? [], columns: columns)
      guard let bias = tensor(name + ".bias") else { return y }
      return y.indices.map { y[$0] + bias[$0 % bias.count] }
    }
    let layout = c.projection
    let normed = rmsNorm(x, weight: tensor("norm.weight"), width: c.hiddenSize, epsilon: epsilon)
    let projected = project(normed, "mixer.in_proj", columns: c.hiddenSize)
    let convolved = causalConvolutionSiLU(
      columns(layout.convolved, of: projected, width: layout.rowCount),
      weight: tensor("mixer.conv1d.weight") ?? [], bias: tensor("mixer.conv1d.bias"),
      batch: batch, channels: layout.channelCount)
    func channels(_ range: Range<Int>) -> [Double] {
      columns(range, of: convolved, width: layout.channelCount)
    }
    let (stepBias, skip) = (tensor("mixer.dt_bias") ?? [], tensor("mixer.D") ?? [])
    var dt = columns(layout.dt, of: projected, width: layout.rowCount)
    for i in dt.indices {
      let step = softplus(dt[i] + stepBias[i % c.headCount])
      dt[i] = min(max(step, Double(c.timeStepLimit.lowerBound)), Double(c.timeStepLimit.upperBound))
    }
    let recurrence = RecurrentSSD(
      batch: batch, length: x.count / c.hiddenSize / batch, heads: c.headCount,
      headDim: c.headDim, groups: c.groupCount, stateSize: c.stateSize)
    let inputs = channels(layout.xChannels)
    let arrays = RecurrentSSD.Arrays(
      x: inputs, dt: dt, aLog: tensor("mixer.A_log") ?? [], b: channels(layout.bChannels),
      c: channels(layout.cChannels),
      state: [Double](repeating: 0, count: batch * c.recurrentStateCount))
    var y = recurrence.forward(arrays).y
    let z = columns(layout.z, of: projected, width: layout.rowCount)
    for i in y.indices {
      y[i] = (y[i] + skip[i / c.headDim % c.headCount] * inputs[i]) * silu(z[i])
    }
    let gated = rmsNorm(
      y, weight: nil, width: c.innerSize / c.normGroupCount, epsilon: epsilon)
    let weight = tensor("mixer.norm.weight") ?? []
    let out = project(
      gated.indices.map { gated[$0] * weight[$0 % c.innerSize] }, "mixer.out_proj",
      columns: c.innerSize)
    return zip(x, out).map(+)
  }

  /// Some columns of every row.
  private func columns(_ range: Range<Int>, of x: [Double], width: Int) -> [Double] {
    stride(from: 0, to: x.count, by: width).flatMap {
      x[($0 + range.lowerBound)..<($0 + range.upperBound)]
    }
  }
}
