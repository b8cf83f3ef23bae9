import Kernels
import TensorStorage

extension GLAConfiguration {
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
}
