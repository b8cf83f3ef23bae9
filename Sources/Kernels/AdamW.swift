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
    let keep = 1 - step.lr * step.weightDecay
    let size = step.lr / step.biasCorrection1
    let root = 1 / step.biasCorrection2Root
    let (b1, b2, epsilon, scale) = (step.beta1, step.beta2, step.epsilon, step.gradientScale)
    for i in range {
      let gradient = g[i] * scale
      let first = b1 * m[i] + (1 - b1) * gradient
      let second = b2 * v[i] + (1 - b2) * gradient * gradient
      m[i] = first
      v[i] = second
      p[i] = p[i] * keep - size * first / (fastSquareRoot(second) * root + epsilon)
    }
  }
}
