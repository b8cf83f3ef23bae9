import TensorStorage

/// One block's shape and options: what a model family's layers are described by.
public protocol BlockConfiguration: Sendable, Equatable, Encodable {
  /// The block that it describes.
  associatedtype Block: RecurrentBlock

  /// The kind of block as checkpoints record it, the same for all blocks of one type.
  var kind: String { get }
  /// Width of the residual stream, `hidden_size`.
  var hiddenSize: Int { get }
  /// The matrices that one sequence's recurrent state is, as they lie in memory.
  var stateMatrices: StateMatrices { get }
  /// The recurrent state's shape for people, for example `4 x 256 x 512`.
  var stateShape: String { get }

  /// The block.
  ///
  /// - Parameter scope: where it declares its tensors, nothing else among them.
  /// - Returns: the block.
  func block(_ scope: inout ParameterScope) -> Block

  /// The same options with every size small, for checks in `Double`; layers that differ stay different.
  func shrunken(hiddenSize: Int) -> Self
}

/// One sequence's recurrent state as `[heads, rows, columns]`: a matrix of keys and values for each head.
public struct StateMatrices: Sendable, Equatable {
  /// Matrices.
  public let heads: Int
  /// Rows of each: key channels, or Mamba2's `N`.
  public let rows: Int
  /// Columns of each: value channels, or Mamba2's `P`.
  public let columns: Int

  /// Names the sizes.
  public init(heads: Int, rows: Int, columns: Int) {
    (self.heads, self.rows, self.columns) = (heads, rows, columns)
  }

  /// Numbers of one matrix.
  public var matrixCount: Int { rows * columns }
}

extension BlockConfiguration {
  /// Numbers in one sequence's recurrent state (convolution tails not counted).
  public var recurrentStateCount: Int { stateMatrices.heads * stateMatrices.matrixCount }

  /// The block's parameters in the order in which the arena holds them, which is the order in which
  /// the forward pass meets them.
  ///
  /// - Parameters:
  ///   - prefix: for example `model.layers.0.`.
  ///   - initialization: how a model from scratch is drawn.
  /// - Returns: names, shapes and first values.
  public func parameters(
    prefix: String, initialization: ScratchInitialization
  ) -> [ParameterSpecification] {
    var scope = ParameterScope(prefix: prefix, linear: initialization.linear(fanIn:))
    _ = block(&scope)
    return scope.specifications
  }

  /// Whether both are of one kind and equal.
  public func isEqual(to other: any BlockConfiguration) -> Bool { other as? Self == self }
}
