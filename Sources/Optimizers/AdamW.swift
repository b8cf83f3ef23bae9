import Foundation
import Kernels
import TensorStorage

/// The constants of AdamW.
public struct AdamWConfiguration: OptimizerConfiguration {
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
  /// How both moments are stored.
  public var moments: MomentPrecision

  /// Names the constants.
  public init(
    beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double, gradientClip: Double?,
    moments: MomentPrecision = .fp32
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.gradientClip = gradientClip
    self.moments = moments
  }

  /// Two moments of every element.
  public var stateByteCount: Int { 2 * moments.byteCount }

  /// AdamW with these constants.
  public func makeOptimizer(layout: ParameterLayout, ranges: [Range<Int>]) -> any Optimizer {
    AdamW(self, layout: layout, ranges: ranges)
  }
}

/// AdamW over the flat arenas of a model, or over one rank's part of them.
public final class AdamW: Optimizer {
  /// The constants.
  public let configuration: AdamWConfiguration
  /// First moments of the elements `ranges`, one range after the other.
  public let moment1: Moments
  /// Second moments, likewise.
  public let moment2: Moments
  /// The elements of the arena that this rank updates.
  public let ranges: [Range<Int>]

  /// A tensor, or the part of it that lies in one of the ranges.
  private struct Piece {
    /// First element in the arena.
    let offset: Int
    /// Index of its moments.
    let moment: Int
    let count: Int
    let isDecayed: Bool
  }

  private let pieces: [Piece]

  /// Starts with moments of zero.
  ///
  /// - Parameters:
  ///   - configuration: the constants.
  ///   - layout: the layout of the parameters; only trained ones are updated.
  ///   - ranges: the part of the arena that this rank updates; everything that is trained if nil.
  public init(
    _ configuration: AdamWConfiguration, layout: ParameterLayout, ranges: [Range<Int>]? = nil
  ) {
    self.configuration = configuration
    let ranges = ranges ?? [0..<layout.trainableCount]
    self.ranges = ranges
    var pieces: [Piece] = []
    var first = 0
    for range in ranges {
      for slot in layout.trainableSlots where slot.range.overlaps(range) {
        let part = slot.range.clamped(to: range)
        pieces.append(
          Piece(
            offset: part.lowerBound, moment: first + part.lowerBound - range.lowerBound,
            count: part.count, isDecayed: slot.isMatrix))
      }
      first += range.count
    }
    self.pieces = pieces
    moment1 = Moments(count: first, precision: configuration.moments)
    moment2 = Moments(count: first, precision: configuration.moments)
  }

  /// Both moments, by PyTorch's names.
  public var state: [OptimizerState] {
    [OptimizerState("exp_avg", moment1), OptimizerState("exp_avg_sq", moment2)]
  }

  /// The factor that clips a gradient of that norm: `clip / (norm + 1e-6)` above `clip`, else 1.
  public func clipFactor(norm: Double) -> Double {
    guard let clip = configuration.gradientClip, norm > clip else { return 1 }
    return clip / (norm + 1e-6)
  }

  /// Clips, moves both moments, and takes a step with decoupled weight decay.
  public func update(
    _ parameters: FloatBuffer, gradients: FloatBuffer, step: Int, lr: Double, gradientNorm: Double
  ) {
    let c = configuration
    var numbers = AdamWStep(
      lr: Float(lr), beta1: Float(c.beta1), beta2: Float(c.beta2), epsilon: Float(c.epsilon),
      weightDecay: 0, gradientScale: Float(clipFactor(norm: gradientNorm)),
      biasCorrection1: Float(1 - pow(c.beta1, Double(step))),
      biasCorrection2Root: Float((1 - pow(c.beta2, Double(step))).squareRoot()))
    for piece in pieces {
      numbers.weightDecay = piece.isDecayed ? Float(c.weightDecay) : 0
      let (p, g) = (parameters.pointer + piece.offset, gradients.pointer + piece.offset)
      switch (moment1, moment2) {
      case (.fp32(let m), .fp32(let v)):
        adamW(
          p, gradient: g, moment1: m.pointer + piece.moment, moment2: v.pointer + piece.moment,
          count: piece.count, step: numbers)
      case (.bf16(let m), .bf16(let v)):
        adamW(
          p, gradient: g, moment1: m.pointer + piece.moment, moment2: v.pointer + piece.moment,
          count: piece.count, step: numbers,
          noise: RoundingNoise(step: step, firstIndex: piece.offset))
      default: fatalError("both moments are stored alike")
      }
    }
  }
}
