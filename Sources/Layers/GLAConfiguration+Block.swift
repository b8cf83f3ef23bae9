import Kernels
import TensorStorage

extension GLAConfiguration: BlockConfiguration {
  /// The kind in records.
  public var kind: String { "gla" }

  /// The checkpoint key of the output norm inside `attn`: fla names it after whether the norm is
  /// fused with the gate.
  public var outputNormKey: String {
    fusesNorm && hasOutputGate ? "g_norm_swish_gate" : "g_norm"
  }

  /// One GLA block: `x += attn(attn_norm(x))`, then `x += mlp(mlp_norm(x))` (fla's `GLABlock`).
  ///
  /// - Parameter scope: where the block declares its tensors, nothing else among them.
  /// - Returns: the block.
  public func block(_ scope: inout ParameterScope) -> ResidualBlock<GatedLinearAttention> {
    let mixer = mixer(&scope)
    let norm = RMSNorm("mlp_norm", width: hiddenSize, epsilon: normEpsilon, &scope)
    let mlp = SwiGLU("mlp", hiddenSize: hiddenSize, innerSize: intermediateSize, &scope)
    return ResidualBlock(mixer, PreNormResidual(norm, mlp), scope)
  }

  private func mixer(
    _ scope: inout ParameterScope
  ) -> PreNormResidual<GatedLinearAttention> {
    let norm = RMSNorm("attn_norm", width: hiddenSize, epsilon: normEpsilon, &scope)
    return PreNormResidual(norm, GatedLinearAttention(self, "attn", &scope))
  }

  /// The token mixer, with its tensors' names below `prefix`; for what only names and shapes matter to.
  public func mixer(prefix: String) -> GatedLinearAttention {
    var scope = ParameterScope(prefix: prefix)
    return mixer(&scope).branch
  }

  /// The token mixer's parameters and its pre-norm, linear weights drawn by `linear(fan_in)`.
  public func mixerParameters(
    prefix: String, linear: @escaping ParameterScope.LinearDraw
  ) -> [ParameterSpecification] {
    var scope = ParameterScope(prefix: prefix, linear: linear)
    _ = mixer(&scope)
    return scope.specifications
  }

  /// The recurrent state's shape, heads first.
  public var stateShape: String {
    hasHeadMixing
      ? "1 x \(keyDim) x \(valueDim)" : "\(headCount) x \(headKeyDim) x \(headValueDim)"
  }

  /// The same options with every size small.
  public func shrunken(hiddenSize: Int) -> GLAConfiguration {
    // Keep how heads relate: 4 key and 3 value channels for each head of the widest layer.
    var small = self
    let heads = min(headCount, 4)
    let groups = heads % groupSize == 0 ? groupSize : 1
    small.keyValueHeadCount = heads / groups
    small.headCount = heads
    small.hiddenSize = hiddenSize
    small.keyDim = heads * (16 / heads / 2)
    small.valueDim = heads * (12 / heads)
    small.intermediateSize = 10
    return small
  }
}
