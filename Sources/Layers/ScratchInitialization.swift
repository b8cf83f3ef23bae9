import TensorStorage

/// How the parameters of a model trained from scratch are drawn.
public struct ScratchInitialization: Sendable, Equatable {
  /// Standard deviation of the embeddings.
  public var embeddingDeviation: Double
  /// Standard deviation of linear weights; nil draws them uniform in +-1/sqrt(fan_in), as
  /// `torch.nn.Linear` does by default.
  public var linearDeviation: Double?

  /// Describes a start with normal embeddings.
  public init(embeddingDeviation: Double = 0.02, linearDeviation: Double? = 0.02) {
    self.embeddingDeviation = embeddingDeviation
    self.linearDeviation = linearDeviation
  }

  /// How a linear weight with `fanIn` columns is drawn.
  public func linear(fanIn: Int) -> ParameterInitializer {
    linearDeviation.map { .normal(standardDeviation: $0) }
      ?? .uniform(bound: 1 / Double(fanIn).squareRoot())
  }
}
