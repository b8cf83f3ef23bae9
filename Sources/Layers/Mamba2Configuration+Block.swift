import TensorStorage

extension Mamba2Configuration: BlockConfiguration {
  /// The kind in records.
  public var kind: String { "mamba2" }

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

  /// The recurrent state's shape, heads first.
  public var stateShape: String { "\(headCount) x \(stateSize) x \(headDim)" }

  /// The same options with every size small.
  public func shrunken(hiddenSize: Int) -> Mamba2Configuration {
    // Layers of different state sizes stay different: 128 becomes 6, 512 becomes 4.
    var small = self
    small.groupCount = min(groupCount, 2)
    small.headCount = small.groupCount * 2
    small.headDim = 24 / small.headCount
    small.stateSize = 3 + stateSize.trailingZeroBitCount % 4
    small.hiddenSize = hiddenSize
    return small
  }
}
