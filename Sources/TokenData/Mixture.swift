/// Decides which source provides each sample of a weighted mixture.
///
/// Sample `i` comes from the source that lags most behind its share, the first of equals:
/// `argmax_s w_s * max(i, 1) - n_s`, where `n_s` counts the samples taken from `s` before (as in
/// Megatron's `build_blending_indices`). The assignment is a pure function of (weights, i), and
/// that of the first `n` samples never depends on how many follow.
///
/// It is found by counting from 0. Going forward costs `O(sources)` a sample; going back starts
/// from a remembered point at most 65,536 samples before.
public struct Mixture: Sendable {
  /// Which sample is meant: a source and the number of the sample within it.
  public struct Assignment: Sendable, Equatable {
    /// Index of the source.
    public let source: Int
    /// How many samples that source provided before.
    public let index: UInt64
  }

  /// The weights, normalised to sum 1.
  public let weights: [Double]

  private static let stride: UInt64 = 1 << 16

  /// Samples assigned so far, by source, and their sum.
  private var counts: [UInt64]
  private var position: UInt64 = 0
  /// `counts` at the multiples of `stride`.
  private var remembered: [[UInt64]] = []

  /// A mixture of sources with those weights.
  ///
  /// - Throws: `.badMixture` when there is no source, or a weight is not a positive number.
  public init(weights: [Double]) throws(TokenDataError) {
    guard !weights.isEmpty else { throw .badMixture(reason: "there is no source") }
    for (i, weight) in weights.enumerated() where !(weight > 0 && weight.isFinite) {
      throw .badMixture(reason: "the weight of source \(i) is \(weight), not a positive number")
    }
    let sum = weights.reduce(0, +)
    self.weights = weights.map { $0 / sum }
    counts = [UInt64](repeating: 0, count: weights.count)
  }

  /// Which sample of which source is sample `sample` of the mixture.
  public mutating func assignment(of sample: UInt64) -> Assignment {
    if weights.count == 1 { return Assignment(source: 0, index: sample) }
    if sample < position { rewind(to: sample) }
    while position < sample { advance() }
    let source = laggard()
    return Assignment(source: source, index: counts[source])
  }

  private mutating func rewind(to sample: UInt64) {
    let point = Int(sample / Self.stride)
    counts = remembered[point]
    position = UInt64(point) * Self.stride
  }

  private mutating func advance() {
    if position % Self.stride == 0, Int(position / Self.stride) == remembered.count {
      remembered.append(counts)
    }
    counts[laggard()] += 1
    position += 1
  }

  private func laggard() -> Int {
    let samples = Double(max(position, 1))
    var best = 0
    var largest = weights[0] * samples - Double(counts[0])
    for source in 1..<weights.count {
      let deficit = weights[source] * samples - Double(counts[source])
      if deficit > largest {
        largest = deficit
        best = source
      }
    }
    return best
  }
}
