/// What a source's targets weigh in the loss, which is a weighted mean over the targets of a step.
public struct SourceLoss: Sendable, Equatable {
  /// What counts as one.
  public enum Unit: String, Sendable, CaseIterable {
    /// Every target that counts has the same weight: a sample with few of them says little.
    case token
    /// Every sample has the same weight, that of `sequence_length` targets, however many count.
    case sample
  }

  /// What counts as one.
  public var unit: Unit
  /// A factor on all weights of the source, above 0.
  public var factor: Double

  /// Names both.
  public init(_ unit: Unit = .token, factor: Double = 1) {
    self.unit = unit
    self.factor = factor
  }

  /// Multiplies the weights of a sample, which are 0 or 1 as its source wrote them.
  func scale(_ weights: UnsafeMutableBufferPointer<Float>) {
    var scale = factor
    if unit == .sample {
      var counted = 0
      for weight in weights where weight != 0 { counted += 1 }
      guard counted > 0 else { return }
      scale *= Double(weights.count) / Double(counted)
    }
    guard scale != 1 else { return }
    let factor = Float(scale)
    for t in weights.indices { weights[t] *= factor }
  }
}
