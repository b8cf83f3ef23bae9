import ErrorReporting
import Layers
import TensorStorage

/// An immutable description of a whole model, with one entry for each layer.
public struct ModelConfiguration: Sendable, Equatable, Encodable {
  /// Which architecture.
  public var family: ModelFamily
  /// Width of the residual stream, `hidden_size`.
  public var hiddenSize: Int
  /// Rows of the embeddings, `vocab_size` (padding included).
  public var vocabularySize: Int
  /// Epsilon of the block norms and the final norm, `norm_eps`.
  public var normEpsilon: Float
  /// Whether the output head is the embedding matrix, `tie_word_embeddings`.
  public var tiesEmbeddings: Bool
  /// One entry for each layer, first to last.
  public var layers: [LayerConfiguration]
  /// The layer that the family's usual fields of `config.json` describe: what the layers that were
  /// not expanded are, and what the expanded ones were.
  public var base: LayerConfiguration

  /// Describes a model; `base` is nil when no layer was expanded: the first then stands for all.
  ///
  /// - Precondition: there is at least one layer.
  public init(
    family: ModelFamily, hiddenSize: Int, vocabularySize: Int, normEpsilon: Float,
    tiesEmbeddings: Bool, layers: [LayerConfiguration], base: LayerConfiguration? = nil
  ) {
    guard let base = base ?? layers.first else { fatalError("a model without layers") }
    self.base = base
    self.family = family
    self.hiddenSize = hiddenSize
    self.vocabularySize = vocabularySize
    self.normEpsilon = normEpsilon
    self.tiesEmbeddings = tiesEmbeddings
    self.layers = layers
  }

  /// Parameters of a model at most: more than any machine holds, and few enough to count with.
  public static let mostParameters = 1 << 44

  /// Whether the sizes are those of a model of at most `mostParameters`; otherwise nothing may be asked that
  /// multiplies them.
  public var isCountable: Bool {
    var counts: [Int] = []
    var last: (layer: LayerConfiguration, count: Int)?
    for layer in layers {
      let same = last.flatMap { $0.layer == layer ? $0.count : nil }
      guard let count = same ?? Self.count(layer) else { return false }
      last = (layer, count)
      counts.append(count)
    }
    let rows = tiesEmbeddings ? vocabularySize : 2 * vocabularySize
    guard let ends = [rows, hiddenSize].checkedProduct() else { return false }
    return (counts + [ends, hiddenSize]).checkedSum(atMost: Self.mostParameters) != nil
  }

  /// The parameters of a layer; nil if there are too many.
  private static func count(_ layer: LayerConfiguration) -> Int? {
    let tensors = layer.parameters(prefix: "", initialization: ScratchInitialization())
    var counts: [Int] = []
    for tensor in tensors {
      guard let count = tensor.shape.checkedProduct(atMost: mostParameters) else { return nil }
      counts.append(count)
    }
    return counts.checkedSum(atMost: mostParameters)
  }

  /// Numbers in one sequence's recurrent state over all layers (convolution tails not counted).
  public var recurrentStateCount: Int { layers.reduce(0) { $0 + $1.recurrentStateCount } }

  /// Every parameter in arena order, with how a model from scratch draws it.
  public func parameters(
    initialization: ScratchInitialization = ScratchInitialization()
  ) -> [ParameterSpecification] {
    var parameters = [
      ParameterSpecification(
        name: family.embeddingsKey, shape: [vocabularySize, hiddenSize],
        initializer: .normal(standardDeviation: initialization.embeddingDeviation))
    ]
    for (index, layer) in layers.enumerated() {
      parameters += layer.parameters(
        prefix: family.layerPrefix(index), initialization: initialization)
    }
    parameters.append(
      ParameterSpecification(name: family.finalNormKey, shape: [hiddenSize], initializer: .ones))
    if !tiesEmbeddings {
      parameters.append(
        ParameterSpecification(
          name: family.headKey, shape: [vocabularySize, hiddenSize],
          initializer: initialization.linear(fanIn: hiddenSize)))
    }
    return parameters
  }

  /// The arena layout of this model's parameters: in the order of `parameters`, frozen ones last.
  public func layout(trainable: TrainableParameters = .all) -> ParameterLayout {
    var layout = ParameterLayout()
    let parameters = parameters()
    for isTrainable in [true, false] {
      for parameter in parameters
      where trainable.contains(parameter.name, family: family) == isTrainable {
        layout.append(name: parameter.name, shape: parameter.shape, isTrainable: isTrainable)
      }
    }
    return layout
  }

  /// The layers that differ from the base: those whose state was expanded.
  public var expandedLayers: [Int] { layers.indices.filter { layers[$0] != base } }
}

extension ParameterArena {
  /// The parameters of a model from scratch: a function of (configuration, initialization, seed).
  ///
  /// - Parameters:
  ///   - configuration: the model.
  ///   - initialization: how weights are drawn.
  ///   - seed: the run's seed.
  ///   - layout: a layout of that configuration; the one that trains everything if nil.
  public convenience init(
    scratch configuration: ModelConfiguration, initialization: ScratchInitialization, seed: UInt64,
    layout: ParameterLayout? = nil
  ) {
    self.init(layout: layout ?? configuration.layout())
    for parameter in configuration.parameters(initialization: initialization) {
      guard let elements = self[parameter.name] else { continue }
      parameter.initializer.fill(
        elements, shape: parameter.shape, name: parameter.name, seed: seed)
    }
  }
}
