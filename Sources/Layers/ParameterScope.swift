import ErrorReporting
import TensorStorage

/// Shape of a linear map's weight.
public struct LinearShape: Sendable, Equatable {
  /// Numbers that come out for a token.
  public var outputs: Int
  /// Numbers that go in.
  public var inputs: Int

  /// Names the sizes.
  public init(outputs: Int, inputs: Int) {
    self.outputs = outputs
    self.inputs = inputs
  }
}

/// Where the modules of a block declare their parameters.
///
/// Building a block declares each of its tensors once: name, shape and first values. On a scope without
/// a layout that is all, and `specifications` is what the block consists of. On a scope with the layout
/// of a model, modules also learn where in the arenas their tensors lie.
public struct ParameterScope {
  /// How a linear weight with that many columns is drawn.
  public typealias LinearDraw = (_ fanIn: Int) -> ParameterInitializer

  /// What was declared, in order: the order in which the arena holds it.
  public private(set) var specifications: [ParameterSpecification] = []
  /// Every linear map that was declared, in the order of the forward pass.
  public private(set) var linearShapes: [LinearShape] = []

  private let prefix: String
  private let layout: ParameterLayout?
  private let linearDraw: LinearDraw
  private var declared = ParameterLayout()

  /// A scope that only collects what is declared.
  ///
  /// - Parameters:
  ///   - prefix: what every name begins with, for example `model.layers.0.`.
  ///   - linear: how linear weights are drawn.
  public init(
    prefix: String, linear: @escaping LinearDraw = ScratchInitialization().linear(fanIn:)
  ) {
    (self.prefix, self.layout, linearDraw) = (prefix, nil, linear)
  }

  /// A scope in which modules find their tensors in the layout of a model.
  public init(prefix: String, layout: ParameterLayout) {
    (self.prefix, self.layout) = (prefix, layout)
    linearDraw = ScratchInitialization().linear(fanIn:)
  }

  /// Declares a tensor and returns where it lies.
  ///
  /// - Parameters:
  ///   - name: its checkpoint key behind the prefix.
  ///   - shape: row-major.
  ///   - initializer: how its first values are drawn.
  /// - Returns: its slot; of a scope without a layout, that of a layout of this block alone.
  /// - Precondition: a scope's layout was made from the same configuration.
  public mutating func parameter(
    _ name: String, _ shape: [Int], _ initializer: ParameterInitializer
  ) -> ParameterSlot {
    let name = prefix + name
    specifications.append(
      ParameterSpecification(name: name, shape: shape, initializer: initializer))
    let own = declared.append(name: name, shape: shape)
    guard let layout else { return own }
    guard let slot = layout[name] else { fatalError("the layout has no \(name)") }
    require(slot.shape == shape, "the layout has \(name) as \(slot.shape), not \(shape)")
    return slot
  }

  /// Declares a linear map from `inputs` to `outputs` numbers, `NAME.weight` and perhaps `NAME.bias`.
  public mutating func linear(
    _ name: String, outputs: Int, inputs: Int, hasBias: Bool = false
  ) -> Linear {
    packedLinear(name, parts: [0..<outputs], inputs: inputs, hasBias: hasBias)[0]
  }

  /// Declares linear maps of one input whose weights lie in one tensor, each some rows of it.
  ///
  /// - Parameters:
  ///   - name: the tensor's key without `.weight`.
  ///   - parts: the rows of each map, one behind the other.
  ///   - inputs: numbers that go in.
  ///   - hasBias: whether there is a tensor of biases too.
  /// - Returns: the maps in the order of `parts`.
  public mutating func packedLinear(
    _ name: String, parts: [Range<Int>], inputs: Int, hasBias: Bool = false
  ) -> [Linear] {
    let rows = parts.last?.upperBound ?? 0
    let weight = parameter(name + ".weight", [rows, inputs], linearDraw(inputs))
    let bias = hasBias ? parameter(name + ".bias", [rows], .zeros) : nil
    linearShapes += parts.map { LinearShape(outputs: $0.count, inputs: inputs) }
    return parts.map { Linear(weight: weight, bias: bias, rows: $0, inputs: inputs) }
  }
}
