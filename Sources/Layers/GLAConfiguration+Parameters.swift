import TensorStorage

extension GLAConfiguration {
  /// The checkpoint key of the output norm inside `attn`: fla names it after whether the norm is
  /// fused with the gate.
  public var outputNormKey: String {
    fusesNorm && hasOutputGate ? "g_norm_swish_gate" : "g_norm"
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
    mixerParameters(prefix: prefix, linear: initialization.linear(fanIn:))
      + feedForwardParameters(prefix: prefix, initialization: initialization)
  }

  /// The token mixer's parameters and its pre-norm, linear weights drawn by `linear(fan_in)`.
  public func mixerParameters(
    prefix: String, linear: (Int) -> ParameterInitializer
  ) -> [ParameterSpecification] {
    let attention = prefix + "attn."
    var parameters = [
      ParameterSpecification(
        name: prefix + "attn_norm.weight", shape: [hiddenSize], initializer: .ones)
    ]
    func add(_ name: String, _ shape: [Int], _ initializer: ParameterInitializer) {
      parameters.append(
        ParameterSpecification(name: attention + name, shape: shape, initializer: initializer))
    }
    add("q_proj.weight", [keyDim, hiddenSize], linear(hiddenSize))
    add("k_proj.weight", [projectedKeyDim, hiddenSize], linear(hiddenSize))
    add("v_proj.weight", [projectedValueDim, hiddenSize], linear(hiddenSize))
    if hasOutputGate {
      add("g_proj.weight", [valueDim, hiddenSize], linear(hiddenSize))
    }
    if let width = convolutionSize {
      let bound = ParameterInitializer.uniform(bound: 1 / Double(width).squareRoot())
      add("q_conv1d.weight", [keyDim, 1, width], bound)
      add("k_conv1d.weight", [projectedKeyDim, 1, width], bound)
      add("v_conv1d.weight", [projectedValueDim, 1, width], bound)
    }
    add("gk_proj.0.weight", [gateRank, hiddenSize], linear(hiddenSize))
    add("gk_proj.1.weight", [projectedKeyDim, gateRank], linear(gateRank))
    add("gk_proj.1.bias", [projectedKeyDim], .zeros)
    if hasHeadMixing {
      let identity = (0..<(headCount * keyDim)).map { index -> Float in
        index % keyDim / headKeyDim == index / keyDim ? 1 : 0
      }
      add("head_mixing.weight", [headCount, keyDim], .values(identity))
    }
    if outputNormHasWeight {
      add(outputNormKey + ".weight", [headValueDim], .ones)
    }
    add("o_proj.weight", [hiddenSize, valueDim], linear(valueDim))
    return parameters
  }

  private func feedForwardParameters(
    prefix: String, initialization: ScratchInitialization
  ) -> [ParameterSpecification] {
    func linear(_ name: String, _ rows: Int, _ columns: Int) -> ParameterSpecification {
      ParameterSpecification(
        name: prefix + "mlp." + name, shape: [rows, columns],
        initializer: initialization.linear(fanIn: columns))
    }
    return [
      ParameterSpecification(
        name: prefix + "mlp_norm.weight", shape: [hiddenSize], initializer: .ones),
      linear("gate_proj.weight", intermediateSize, hiddenSize),
      linear("up_proj.weight", intermediateSize, hiddenSize),
      linear("down_proj.weight", hiddenSize, intermediateSize),
    ]
  }
}
