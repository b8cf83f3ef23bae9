import TensorStorage

extension Mamba2Configuration {
  /// One Mamba2 block: `x += mixer(norm(x))` (transformers' `Mamba2Block`).
  ///
  /// - Parameter scope: where the block declares its tensors, nothing else among them.
  /// - Returns: the block.
  public func block(_ scope: inout ParameterScope) -> ResidualBlock<Mamba2Mixer> {
    let norm = RMSNorm("norm", width: hiddenSize, epsilon: normEpsilon, &scope)
    let mixer = Mamba2Mixer(self, "mixer", &scope)
    return ResidualBlock(PreNormResidual(norm, mixer), nil, scope)
  }

  /// The token mixer, with its tensors' names below `prefix`; for what only names and shapes matter to.
  public func mixer(prefix: String) -> Mamba2Mixer {
    var scope = ParameterScope(prefix: prefix)
    return block(&scope).mixer.branch
  }

  /// The block's parameters in the order in which the arena holds them, which is the order in which
  /// the forward pass meets them.
  ///
  /// - Parameters:
  ///   - prefix: for example `backbone.layers.0.`.
  ///   - initialization: how linear weights of a model from scratch are drawn.
  /// - Returns: names, shapes and initial values.
  public func parameters(
    prefix: String, initialization: ScratchInitialization
  ) -> [ParameterSpecification] {
    var scope = ParameterScope(prefix: prefix, linear: initialization.linear(fanIn:))
    _ = block(&scope)
    return scope.specifications
  }
}
