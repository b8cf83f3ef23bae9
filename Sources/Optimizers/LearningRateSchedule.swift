import Foundation

/// The learning rate as a function of the step.
///
/// With `w` warm-up steps of `n`, step `s` counted from 1: `lr s / w` while `s <= w`, then the shape.
public struct LearningRateSchedule: Sendable, Equatable {
  /// What follows the warm-up.
  public enum Shape: Sendable, Equatable {
    /// `min + (lr - min) (1 + cos(pi (s - w) / (n - w))) / 2`.
    case cosine
    /// `min + (lr - min) (n - s) / (n - w)`.
    case linear
    /// `lr`.
    case constant
    /// `lr` until `n - decay`, then linearly to `min` at `n`: warm-up, stable, decay.
    case warmupStableDecay(decaySteps: Int)
  }

  /// Highest learning rate.
  public var peak: Double
  /// Learning rate at the last step, for shapes that fall.
  public var minimum: Double
  /// Steps of linear warm-up, `w`.
  public var warmupSteps: Int
  /// Steps altogether, `n`.
  public var steps: Int
  /// What follows the warm-up.
  public var shape: Shape

  /// Names the numbers.
  public init(peak: Double, minimum: Double, warmupSteps: Int, steps: Int, shape: Shape) {
    self.peak = peak
    self.minimum = minimum
    self.warmupSteps = warmupSteps
    self.steps = steps
    self.shape = shape
  }

  /// The learning rate of step `step`, counted from 1.
  public subscript(step: Int) -> Double {
    if step <= warmupSteps { return peak * Double(step) / Double(warmupSteps) }
    let span = Double(max(steps - warmupSteps, 1))
    let done = min(Double(step - warmupSteps) / span, 1)
    switch shape {
    case .constant: return peak
    case .cosine: return minimum + (peak - minimum) * 0.5 * (1 + cos(Double.pi * done))
    case .linear: return minimum + (peak - minimum) * (1 - done)
    case .warmupStableDecay(let decaySteps):
      let left = Double(steps - step) / Double(max(decaySteps, 1))
      return minimum + (peak - minimum) * min(max(left, 0), 1)
    }
  }
}
