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
      var scope = ParameterScope(prefix: family.layerPrefix(index))
      x = layer.makeBlock(&scope).reference(x, batch: batch) { tensor($0.name) }
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
}
