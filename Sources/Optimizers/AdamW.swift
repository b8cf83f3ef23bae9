import Foundation
import Kernels
import TensorStorage

/// The constants of AdamW.
public struct AdamWConfiguration: Sendable, Equatable {
  /// Decay of the first moment.
  public var beta1: Double
  /// Decay of the second moment.
  public var beta2: Double
  /// Added to the root of the second moment.
  public var epsilon: Double
  /// Decoupled weight decay, on parameters of two or more dimensions.
  public var weightDecay: Double
  /// Largest global gradient norm, nil for no clipping.
  public var gradientClip: Double?

  /// Names the constants.
  public init(
    beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double, gradientClip: Double?
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.gradientClip = gradientClip
  }
}

/// AdamW over the flat arenas of a model.
public final class AdamW {
  /// The constants.
  public let configuration: AdamWConfiguration
  /// First moments, laid out as the parameters.
  public let moment1: FloatBuffer
  /// Second moments, laid out as the parameters.
  public let moment2: FloatBuffer

  private let layout: ParameterLayout

  /// Starts with moments of zero.
  public init(_ configuration: AdamWConfiguration, layout: ParameterLayout) {
    self.configuration = configuration
    self.layout = layout
    moment1 = FloatBuffer(count: layout.count)
    moment2 = FloatBuffer(count: layout.count)
  }

  /// The factor that clips a gradient of that norm: `clip / (norm + 1e-6)` above `clip`, else 1.
  public func clipFactor(norm: Double) -> Double {
    guard let clip = configuration.gradientClip, norm > clip else { return 1 }
    return clip / (norm + 1e-6)
  }

  /// Updates `parameters` with `gradients`.
  ///
  /// - Parameters:
  ///   - parameters: the arena to update.
  ///   - gradients: the summed gradient, laid out as the parameters; read.
  ///   - step: number of this update, counted from 1.
  ///   - lr: learning rate.
  ///   - gradientNorm: the gradient's global norm, for clipping.
  public func update(
    _ parameters: FloatBuffer, gradients: FloatBuffer, step: Int, lr: Double, gradientNorm: Double
  ) {
    let c = configuration
    var numbers = AdamWStep(
      lr: Float(lr), beta1: Float(c.beta1), beta2: Float(c.beta2), epsilon: Float(c.epsilon),
      weightDecay: 0, gradientScale: Float(clipFactor(norm: gradientNorm)),
      biasCorrection1: Float(1 - pow(c.beta1, Double(step))),
      biasCorrection2Root: Float((1 - pow(c.beta2, Double(step))).squareRoot()))
    for slot in layout.slots {
      numbers.weightDecay = slot.isMatrix ? Float(c.weightDecay) : 0
      adamW(
        parameters.pointer + slot.offset, gradient: gradients.pointer + slot.offset,
        moment1: moment1.pointer + slot.offset, moment2: moment2.pointer + slot.offset,
        count: slot.count, step: numbers)
    }
  }
}

/// The Euclidean norm of a flat gradient, summed in `Double` over blocks of a fixed size, in order.
public final class GradientNorm {
  private let partials: UnsafeMutablePointer<Double>
  private let count: Int

  /// Elements in a block.
  private static let block = 1 << 16

  /// Prepares for gradients of `count` elements.
  public init(count: Int) {
    self.count = count
    partials = .allocate(capacity: (count + Self.block - 1) / Self.block)
  }

  deinit { partials.deallocate() }

  /// The norm of `gradients`; NaN or infinite when any element is.
  public func callAsFunction(_ gradients: FloatBuffer) -> Double {
    let blocks = (count + Self.block - 1) / Self.block
    parallelFor(blocks, (gradients.pointer, partials, count)) { job, index in
      let (x, partials, count) = job
      let first = index << 16
      partials[index] = sumOfSquares(x + first, min(1 << 16, count - first))
    }
    var sum = 0.0
    for index in 0..<blocks { sum += partials[index] }
    return sum.squareRoot()
  }
}
