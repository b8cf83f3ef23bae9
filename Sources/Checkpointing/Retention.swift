import ErrorReporting

/// Which checkpoints stay when a new one is saved.
public struct Retention: Sendable, Equatable {
  /// How many of the newest, the new one among them; at least 1.
  public var newest: Int
  /// Checkpoints of steps that this divides stay for good; nil keeps none for good.
  public var every: Int?

  /// Keeps the newest ones, and every n-th for good.
  ///
  /// - Precondition: both are at least 1.
  public init(newest: Int, every: Int? = nil) {
    require(newest >= 1 && every ?? 1 >= 1, "retention: \(newest), \(every ?? 1)")
    self.newest = newest
    self.every = every
  }

  /// Whether the checkpoint of a step stays however old it is.
  func keepsForGood(_ step: Int) -> Bool { every.map { step.isMultiple(of: $0) } ?? false }
}
