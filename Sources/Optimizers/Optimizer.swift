import TensorStorage

/// A rule that turns gradients into updates of a model's arena or one rank's part of it, and the
/// state that it keeps between updates.
///
/// This is all that the trainer, the plan and the checkpoint know about an optimizer.
public protocol Optimizer: AnyObject {
  /// The elements of the arena that this rank updates.
  var ranges: [Range<Int>] { get }

  /// Its state; a checkpoint stores it under these names.
  var state: [OptimizerState] { get }

  /// Updates this rank's part of `parameters` with `gradients`.
  ///
  /// - Parameters:
  ///   - parameters: the arena to update.
  ///   - gradients: the summed gradient, laid out as the parameters that are trained; read.
  ///   - step: number of this update, counted from 1.
  ///   - lr: learning rate.
  ///   - gradientNorm: the gradient's global norm, for clipping.
  func update(
    _ parameters: FloatBuffer, gradients: FloatBuffer, step: Int, lr: Double, gradientNorm: Double
  )
}

/// One number that an optimizer keeps for each element that it updates.
public struct OptimizerState {
  /// Its name in checkpoints, for example `exp_avg`.
  public let name: String
  /// The numbers of the optimizer's `ranges`, one range after the other.
  public let values: Moments

  /// Names the parts.
  public init(_ name: String, _ values: Moments) {
    (self.name, self.values) = (name, values)
  }
}

/// The constants of an optimizer, from which one is made and its size is known in advance.
public protocol OptimizerConfiguration: Sendable, Equatable {
  /// Bytes of state for each element that it updates.
  var stateByteCount: Int { get }

  /// Makes the optimizer with a state of zeros.
  ///
  /// - Parameters:
  ///   - layout: where the parameters lie; only those that are trained are updated.
  ///   - ranges: what this rank updates of the arena.
  /// - Returns: the optimizer.
  func makeOptimizer(layout: ParameterLayout, ranges: [Range<Int>]) -> any Optimizer
}

/// The constants of some optimizer; equal to those of the same type and values.
public struct AnyOptimizerConfiguration: Sendable, Equatable {
  /// The constants.
  public let rule: any OptimizerConfiguration

  /// Wraps them.
  public init(_ rule: any OptimizerConfiguration) { self.rule = rule }

  /// Whether type and values are the same.
  public static func == (a: AnyOptimizerConfiguration, b: AnyOptimizerConfiguration) -> Bool {
    a.rule.equals(b.rule)
  }
}

extension OptimizerConfiguration {
  fileprivate func equals(_ other: any OptimizerConfiguration) -> Bool { self == other as? Self }
}
