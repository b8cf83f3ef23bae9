import Layers
import TensorStorage

/// One block of a model, of whatever family.
public struct LayerConfiguration: Sendable, Equatable, Encodable {
  /// Its shape and options.
  public let block: any BlockConfiguration

  /// Wraps the configuration of a block.
  public init(_ block: any BlockConfiguration) { self.block = block }

  /// A GLA block.
  public static func gla(_ block: GLAConfiguration) -> LayerConfiguration { .init(block) }

  /// A Mamba2 block.
  public static func mamba2(_ block: Mamba2Configuration) -> LayerConfiguration { .init(block) }

  /// The block if it is of that kind, else nil.
  public func of<Block: BlockConfiguration>(_ kind: Block.Type) -> Block? { block as? Block }

  /// Whether both are of one kind and equal.
  public static func == (a: LayerConfiguration, b: LayerConfiguration) -> Bool {
    a.block.isEqual(to: b.block)
  }

  /// Encodes the block as `{KIND: {"_0": {...}}}`, the form that checkpoints have recorded from the start:
  /// what the compiler makes of an enum with a case for each kind.
  public func encode(to encoder: any Encoder) throws {
    var kinds = encoder.container(keyedBy: Key.self)
    var payload = kinds.nestedContainer(keyedBy: Key.self, forKey: Key(stringValue: block.kind))
    try block.encode(to: payload.superEncoder(forKey: Key(stringValue: "_0")))
  }

  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Numbers in one sequence's recurrent state (convolution tails not counted).
  public var recurrentStateCount: Int { block.recurrentStateCount }

  /// The matrices that one sequence's recurrent state is.
  public var stateMatrices: StateMatrices { block.stateMatrices }

  /// The recurrent state's shape for people, for example `4 x 256 x 512`.
  public var stateShape: String { block.stateShape }

  /// The block, its tensors declared in `scope`.
  func makeBlock(_ scope: inout ParameterScope) -> any RecurrentBlock {
    func make(_ block: some BlockConfiguration) -> any RecurrentBlock { block.block(&scope) }
    return make(block)
  }

  /// The block's parameters; `prefix` is for example `model.layers.0.`.
  public func parameters(
    prefix: String, initialization: ScratchInitialization
  ) -> [ParameterSpecification] {
    block.parameters(prefix: prefix, initialization: initialization)
  }

  /// The same options with every size small.
  public func shrunken(hiddenSize: Int) -> LayerConfiguration {
    LayerConfiguration(block.shrunken(hiddenSize: hiddenSize))
  }
}
