import Kernels
import Layers
import TensorStorage

/// A recurrent language model as single-process mathematics: embeddings, blocks, final norm and head.
///
/// It owns no parameters and no activations: both are handed in, so that one model serves training,
/// evaluation and debugging. Segments and the gradient over a long sequence are `SequencePass`'s.
public struct LanguageModel {
  /// What the model is.
  public let configuration: ModelConfiguration
  /// Where its tensors lie in the arenas.
  public let layout: ParameterLayout
  /// The blocks, first to last.
  public let blocks: [any RecurrentBlock]
  /// Which parameters get gradients.
  public let trainable: TrainableParameters

  let embeddings: Int
  let finalNorm: Int
  let head: Int
  private let blockOffsets: [Int]

  /// Lays out the model of that configuration.
  ///
  /// - Parameters:
  ///   - configuration: the model.
  ///   - trainable: which parameters get gradients; the others lie behind them in the arena.
  public init(_ configuration: ModelConfiguration, trainable: TrainableParameters = .all) {
    self.configuration = configuration
    self.trainable = trainable
    let layout = configuration.layout(trainable: trainable)
    self.layout = layout
    func offset(_ name: String) -> Int {
      guard let slot = layout[name] else { fatalError("the layout has no \(name)") }
      return slot.offset
    }
    let family = configuration.family
    embeddings = offset(family.embeddingsKey)
    finalNorm = offset(family.finalNormKey)
    head = configuration.tiesEmbeddings ? embeddings : offset(family.headKey)
    blockOffsets = configuration.layers.indices.map { index in
      let prefix = family.layerPrefix(index)
      return layout.slots.first { $0.name.hasPrefix(prefix) }?.offset ?? layout.count
    }
    blocks = configuration.layers.enumerated().map { index, layer in
      var scope = ParameterScope(prefix: family.layerPrefix(index), layout: layout)
      return layer.makeBlock(&scope)
    }
  }

  /// Where the gradients begin that are final once block `index` is through its last backward pass.
  ///
  /// All behind that are final too. Nil for a frozen block.
  public func finalGradients(afterBlock index: Int) -> Int? {
    trainable.containsBlock(index) ? blockOffsets[index] : nil
  }

  /// Width of the residual stream, `D`.
  public var width: Int { configuration.hiddenSize }

  /// Rows of the head, `V`.
  public var vocabulary: Int { configuration.vocabularySize }

  /// Floats of state of `batch` sequences over all blocks.
  public func stateCount(batch: Int) -> Int {
    blocks.reduce(0) { $0 + $1.stateCount(batch: batch) }
  }

  /// Where a block's recurrent state lies in the state of `batch` sequences, the convolutions' tails left
  /// out: `[batch, heads, rows, columns]`.
  public func recurrentState(ofBlock index: Int, batch: Int) -> Range<Int> {
    let start = blocks[..<index].reduce(0) { $0 + $1.stateCount(batch: batch) }
    return start..<(start + batch * configuration.layers[index].recurrentStateCount)
  }

  /// Floats that each block needs for segments up to `dims`; measured once for neighbours that are alike.
  func blockMemories(upTo dims: SegmentDims) -> [BlockMemory] {
    var memories: [BlockMemory] = []
    for (index, block) in blocks.enumerated() {
      let layers = configuration.layers
      let isAlike = index > 0 && layers[index] == layers[index - 1]
      memories.append(isAlike ? memories[index - 1] : block.memory(upTo: dims))
    }
    return memories
  }

  /// Floats that a part of a shared segment tells the others in a forward pass of the blocks, and again
  /// in a backward pass.
  public func shareCount(batch: Int, parts: Int) -> Int {
    let dims = SegmentDims(batch: batch, length: 1, parts: parts)
    return blocks.reduce(0) { $0 + $1.memory(dims).shared }
  }

  /// Multiplications and additions of one token's forward pass, the head included.
  public var forwardFLOPsPerToken: Int {
    blocks.reduce(2 * width * vocabulary) { $0 + $1.forwardFLOPsPerToken }
  }

  /// Multiplications and additions of one trained token: forward, and for backward the same again for
  /// the gradients of activations and again for those of weights, as far as they are needed.
  ///
  /// With recomputed segments, one more forward pass of the blocks is spent; it is not counted here.
  public var trainingFLOPsPerToken: Int {
    let headFLOPs = 2 * width * vocabulary
    var sum = forwardFLOPsPerToken + headFLOPs
    if trainable == .all { sum += headFLOPs }
    for index in blocks.indices where index >= trainable.lowestBlock {
      let passes = trainable.containsBlock(index) ? 2 : 1
      sum += passes * blocks[index].forwardFLOPsPerToken
    }
    return sum
  }

  /// Elements of the largest operand of a matrix product that is not a weight.
  public func largestOperandCount(_ dims: SegmentDims) -> Int {
    let widest = blocks.flatMap(\.linearShapes).reduce(width) { max($0, $1.outputs, $1.inputs) }
    let head = min(dims.rows, LinearCrossEntropyDims.blockRows) * max(vocabulary, width)
    return max(dims.rows * widest, head)
  }
}
