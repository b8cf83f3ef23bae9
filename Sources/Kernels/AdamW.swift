import TensorStorage

/// The numbers of one AdamW update (Loshchilov and Hutter, 2019), as `torch.optim.AdamW` uses them.
public struct AdamWStep: Sendable {
  /// Learning rate of this step.
  public var lr: Float
  /// Decay of the first moment.
  public var beta1: Float
  /// Decay of the second moment.
  public var beta2: Float
  /// Added to the root of the second moment.
  public var epsilon: Float
  /// Weight decay; 0 for parameters it does not apply to.
  public var weightDecay: Float
  /// Factor on the gradient: clipping.
  public var gradientScale: Float
  /// `1 - beta1^step`.
  public var biasCorrection1: Float
  /// `sqrt(1 - beta2^step)`.
  public var biasCorrection2Root: Float

  /// Names the numbers.
  public init(
    lr: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, gradientScale: Float,
    biasCorrection1: Float, biasCorrection2Root: Float
  ) {
    self.lr = lr
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.gradientScale = gradientScale
    self.biasCorrection1 = biasCorrection1
    self.biasCorrection2Root = biasCorrection2Root
  }
}

/// What one AdamW update needs of its constants, computed once a call.
private struct AdamWFactors {
  let keep, size, root, b1, b2, epsilon, scale: Float

  init(_ step: AdamWStep) {
    keep = 1 - step.lr * step.weightDecay
    size = step.lr / step.biasCorrection1
    root = 1 / step.biasCorrection2Root
    (b1, b2, epsilon, scale) = (step.beta1, step.beta2, step.epsilon, step.gradientScale)
  }

  /// The new parameter and moments of one element.
  @inline(__always)
  func updated(_ p: Float, _ g: Float, _ m: Float, _ v: Float) -> (p: Float, m: Float, v: Float) {
    let gradient = g * scale
    let first = b1 * m + (1 - b1) * gradient
    let second = b2 * v + (1 - b2) * gradient * gradient
    return (p * keep - size * first / (second.squareRoot() * root + epsilon), first, second)
  }
}

/// One AdamW update of `count` parameters.
///
///     p -= lr wd p
///     m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
///     p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)
///
/// - Parameters:
///   - parameters: updated.
///   - gradient: read, times `step.gradientScale`.
///   - moment1: updated.
///   - moment2: updated.
///   - count: number of parameters.
///   - step: the numbers of this update.
public func adamW(
  _ parameters: Floats, gradient: Floats, moment1: Floats, moment2: Floats, count: Int,
  step: AdamWStep
) {
  forElementBlocks(count, (parameters, gradient, moment1, moment2, step)) { job, range in
    let (p, g, m, v, step) = job
    let factors = AdamWFactors(step)
    for i in range {
      let new = factors.updated(p[i], g[i], m[i], v[i])
      m[i] = new.m
      v[i] = new.v
      p[i] = new.p
    }
  }
}

/// The same with moments in bfloat16: computed in fp32, stored with stochastic rounding.
///
/// The parameter moves by the moments before they are rounded. Both roundings of an element take their
/// noise from one hash of (step, index), so they depend on nothing else.
///
/// - Parameters:
///   - parameters: updated.
///   - gradient: read, times `step.gradientScale`.
///   - moment1: updated.
///   - moment2: updated.
///   - count: number of parameters.
///   - step: the numbers of this update.
///   - noise: of this step, for the first of the elements.
public func adamW(
  _ parameters: Floats, gradient: Floats, moment1: UnsafeMutablePointer<BFloat16>,
  moment2: UnsafeMutablePointer<BFloat16>, count: Int, step: AdamWStep, noise: RoundingNoise
) {
  forElementBlocks(count, (parameters, gradient, moment1, moment2, step, noise)) { job, range in
    let (p, g, m, v, step, noise) = job
    let factors = AdamWFactors(step)
    for i in range {
      let new = factors.updated(p[i], g[i], Float(m[i]), Float(v[i]))
      let bits = noise[i]
      m[i] = BFloat16(stochastic: new.m, noise: bits & 0xFFFF)
      v[i] = BFloat16(stochastic: new.v, noise: bits >> 16)
      p[i] = new.p
    }
  }
}

/// Random bits that are a function of (step, index), for stochastic rounding.
///
/// The index goes through a 32-bit mixing function with a key of the step (multiplications and shifts
/// that vectorize; constants of C. Wellons' `lowbias32`), so it repeats after 2^32 elements.
public struct RoundingNoise: Sendable {
  private let first: UInt32

  /// The bits of `step` for elements from `firstIndex` of the arena on.
  public init(step: Int, firstIndex: Int) {
    var random = CounterRandom(seed: 0, purpose: "rounding", index: UInt64(step))
    let key = UInt32(truncatingIfNeeded: random.next())
    first = key &+ Self.spread &* UInt32(truncatingIfNeeded: firstIndex)
  }

  private static var spread: UInt32 { 0x9E37_79B9 }

  /// 32 bits for the element `offset` after the first.
  @inline(__always)
  public subscript(offset: Int) -> UInt32 {
    var x = first &+ Self.spread &* UInt32(truncatingIfNeeded: offset)
    x = (x ^ (x >> 16)) &* 0x7FEB_352D
    x = (x ^ (x >> 15)) &* 0x846C_A68B
    return x ^ (x >> 16)
  }
}
