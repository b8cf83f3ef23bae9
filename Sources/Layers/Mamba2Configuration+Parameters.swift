import TensorStorage

extension Mamba2Configuration {
  /// The block's parameters in the order in which the arena holds them, which is the order in which
  /// the forward pass meets them.
  ///
  /// A model from scratch starts as mamba_ssm's do: time steps log-uniform in 0.001 to 0.1, decay
  /// rates uniform in 1 to 16, `D` ones, the convolution as `torch.nn.Conv1d`.
  ///
  /// - Parameters:
  ///   - prefix: for example `backbone.layers.0.`.
  ///   - initialization: how linear weights of a model from scratch are drawn.
  /// - Returns: names, shapes and initial values.
  public func parameters(
    prefix: String, initialization: ScratchInitialization
  ) -> [ParameterSpecification] {
    let convolution = ParameterInitializer.uniform(
      bound: 1 / Double(convolutionSize).squareRoot())
    let (rows, channels) = (projection.rowCount, projection.channelCount)
    var parameters = [
      ParameterSpecification(
        name: prefix + "norm.weight", shape: [hiddenSize], initializer: .ones)
    ]
    func add(_ name: String, _ shape: [Int], _ initializer: ParameterInitializer) {
      parameters.append(
        ParameterSpecification(
          name: prefix + "mixer." + name, shape: shape, initializer: initializer))
    }
    add("in_proj.weight", [rows, hiddenSize], initialization.linear(fanIn: hiddenSize))
    if hasProjectionBias { add("in_proj.bias", [rows], .zeros) }
    add("conv1d.weight", [channels, 1, convolutionSize], convolution)
    if hasConvolutionBias { add("conv1d.bias", [channels], convolution) }
    add("dt_bias", [headCount], .inverseSoftplusOfLogUniform(low: 0.001, high: 0.1))
    add("A_log", [headCount], .logOfUniform(low: 1, high: 16))
    add("D", [headCount], .ones)
    add("norm.weight", [innerSize], .ones)
    add("out_proj.weight", [hiddenSize, innerSize], initialization.linear(fanIn: innerSize))
    if hasProjectionBias { add("out_proj.bias", [hiddenSize], .zeros) }
    return parameters
  }
}
