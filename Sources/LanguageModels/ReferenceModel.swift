import Foundation
import Layers
import ReferenceKernels
import TensorStorage

/// A model's loss in `Double`, written as the paper's formulas read: slow, and the truth that the fast
/// model's gradients are checked against by finite differences.
public struct ReferenceModel {
  /// What the model is.
  public let configuration: ModelConfiguration

  /// Wraps a configuration.
  public init(_ configuration: ModelConfiguration) {
    self.configuration = configuration
  }

  /// Runs samples from a zero state.
  ///
  /// - Parameters:
  ///   - parameters: values by checkpoint key.
  ///   - inputs: token read at each position, `[batch, length]`.
  ///   - targets: token wanted at each position.
  ///   - weights: its weight in the loss.
  ///   - batch: sequences.
  /// - Returns: the mean weighted negative log likelihood.
  public func loss(
    _ parameters: [String: [Double]], inputs: [Int32], targets: [Int32], weights: [Float],
    batch: Int
  ) -> Double {
    let family = configuration.family
    let width = configuration.hiddenSize
    func tensor(_ name: String) -> [Double] { parameters[name] ?? [] }
    let table = tensor(family.embeddingsKey)
    var x: [Double] = []
    for token in inputs { x += table[(Int(token) * width)..<((Int(token) + 1) * width)] }
    for (index, layer) in configuration.layers.enumerated() {
      let prefix = family.layerPrefix(index)
      switch layer {
      case .gla(let gla):
        x = glaBlock(x, gla, batch: batch) { parameters[prefix + $0] }
      case .mamba2(let mamba2):
        x = mamba2Block(x, mamba2, batch: batch) { parameters[prefix + $0] }
      }
    }
    x = rmsNorm(
      x, weight: tensor(family.finalNormKey), width: width,
      epsilon: Double(configuration.normEpsilon))
    let head = configuration.tiesEmbeddings ? table : tensor(family.headKey)
    let logits = linear(x, head, columns: width)
    let vocabulary = configuration.vocabularySize
    var (sum, total) = (0.0, 0.0)
    for row in inputs.indices where weights[row] != 0 {
      let slice = logits[(row * vocabulary)..<((row + 1) * vocabulary)]
      sum += Double(weights[row]) * crossEntropy(slice, target: Int(targets[row]))
      total += Double(weights[row])
    }
    return sum / total
  }

  private func glaBlock(
    _ x: [Double], _ c: GLAConfiguration, batch: Int, _ tensor: (String) -> [Double]?
  ) -> [Double] {
    let epsilon = Double(c.normEpsilon)
    func project(_ y: [Double], _ name: String, columns: Int) -> [Double] {
      linear(y, tensor(name) ?? [], columns: columns)
    }
    let y = rmsNorm(x, weight: tensor("attn_norm.weight"), width: c.hiddenSize, epsilon: epsilon)
    var q = project(y, "attn.q_proj.weight", columns: c.hiddenSize)
    var k = project(y, "attn.k_proj.weight", columns: c.hiddenSize)
    var v = project(y, "attn.v_proj.weight", columns: c.hiddenSize)
    if c.convolutionSize != nil {
      q = convolve(q, tensor("attn.q_conv1d.weight"), batch, c.keyDim)
      k = convolve(k, tensor("attn.k_conv1d.weight"), batch, c.projectedKeyDim)
      v = convolve(v, tensor("attn.v_conv1d.weight"), batch, c.projectedValueDim)
    }
    let bias = tensor("attn.gk_proj.1.bias") ?? []
    let low = project(y, "attn.gk_proj.0.weight", columns: c.hiddenSize)
    var g = project(low, "attn.gk_proj.1.weight", columns: c.gateRank)
    for i in g.indices {
      g[i] = logSigmoid(g[i] + bias[i % bias.count]) / Double(c.gateNormalizer)
      if let minimum = c.gateClampMinimum { g[i] = max(g[i], Double(minimum)) }
    }
    if let map = c.featureMap {
      q = q.map { apply(map, $0) }
      k = k.map { apply(map, $0) }
    }
    k = spread(k, c.headKeyDim, c.groupSize)
    g = spread(g, c.headKeyDim, c.groupSize)
    if let mix = tensor("attn.head_mixing.weight") {
      // The recurrence divides by the root of all heads' key channels; the layer, by that of one's.
      let scale = Double(c.headCount).squareRoot()
      q = stride(from: 0, to: q.count, by: c.keyDim).flatMap { row in
        mix.indices.map { scale * mix[$0] * q[row + $0 % c.keyDim] }
      }
      k = spread(k, c.keyDim, c.headCount)
      g = spread(g, c.keyDim, c.headCount)
    }
    let recurrence = RecurrentGLA(
      batch: batch, length: x.count / c.hiddenSize / batch, heads: c.headCount,
      keyDim: c.stateKeyDim, valueDim: c.headValueDim)
    let state = [Double](repeating: 0, count: batch * c.recurrentStateCount)
    let arrays = RecurrentGLA.Arrays(
      q: q, k: k, v: spread(v, c.headValueDim, c.groupSize), g: g, state: state)
    var o = rmsNorm(
      recurrence.forward(arrays).o, weight: tensor("attn." + c.outputNormKey + ".weight"),
      width: c.headValueDim, epsilon: epsilon)
    if c.hasOutputGate {
      let gate = project(y, "attn.g_proj.weight", columns: c.hiddenSize)
      o = zip(o, gate).map { $0 * silu($1) }
    }
    let middle = zip(x, project(o, "attn.o_proj.weight", columns: c.valueDim)).map(+)
    let normed = rmsNorm(
      middle, weight: tensor("mlp_norm.weight"), width: c.hiddenSize, epsilon: epsilon)
    let gate = project(normed, "mlp.gate_proj.weight", columns: c.hiddenSize)
    let up = project(normed, "mlp.up_proj.weight", columns: c.hiddenSize)
    let hidden = zip(gate, up).map { silu($0) * $1 }
    return zip(middle, project(hidden, "mlp.down_proj.weight", columns: c.intermediateSize)).map(+)
  }

  private func convolve(_ x: [Double], _ weight: [Double]?, _ batch: Int, _ channels: Int)
    -> [Double]
  {
    causalConvolutionSiLU(x, weight: weight ?? [], batch: batch, channels: channels)
  }

  /// Repeats each projected head `groupSize` times.
  private func spread(_ x: [Double], _ headDim: Int, _ groupSize: Int) -> [Double] {
    stride(from: 0, to: x.count, by: headDim).flatMap { first in
      (0..<groupSize).flatMap { _ in x[first..<(first + headDim)] }
    }
  }

  private func apply(_ map: GLAConfiguration.FeatureMap, _ x: Double) -> Double {
    switch map {
    case .relu: max(x, 0)
    case .sigmoid: sigmoid(x)
    case .swish, .silu: silu(x)
    case .logsigmoid: logSigmoid(x)
    case .sqrelu: max(x, 0) * max(x, 0)
    case .gelu: 0.5 * x * (1 + tanh(0.79788456 * x * (1 + 0.044715 * x * x)))
    }
  }
}
