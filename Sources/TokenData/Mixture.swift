/// Decides which source provides each sample of a weighted mixture.
///
/// A mixture is a list of phases. Within a phase, sample `j` comes from the source that lags most behind
/// its share (`Blend`). A new phase counts its samples from 0, and each source goes on where the phase
/// before left it, so a source can be added, or a weight changed, without another sample in what was
/// already trained on. The assignment is a pure function of (phases, i), and that of the first `n`
/// samples never depends on how many follow.
public struct Mixture: Sendable {
  /// Which sample is meant: a source and the number of the sample within it.
  public struct Assignment: Sendable, Equatable {
    /// Index of the source.
    public let source: Int
    /// How many samples that source provided before.
    public let index: UInt64

    /// Names the parts.
    public init(source: Int, index: UInt64) {
      (self.source, self.index) = (source, index)
    }
  }

  /// A stretch of samples with the same sources and weights.
  public struct Phase: Sendable, Equatable {
    /// The mixture's sample with which it begins.
    public let firstSample: UInt64
    /// The weights of the sources from the first on; further sources provide nothing.
    public let weights: [Double]

    /// Names the parts.
    public init(firstSample: UInt64, weights: [Double]) {
      self.firstSample = firstSample
      self.weights = weights
    }
  }

  /// The phases, the first from sample 0.
  public let phases: [Phase]

  private var blends: [Blend]
  /// Samples that each source provided before a phase, for the phases reached so far.
  private var before: [[UInt64]]

  /// A mixture of one phase.
  ///
  /// - Throws: `.badMixture` when there is no source, or a weight is not a positive number.
  public init(weights: [Double]) throws(TokenDataError) {
    try self.init(phases: [Phase(firstSample: 0, weights: weights)])
  }

  /// A mixture of several phases.
  ///
  /// - Throws: `.badMixture` when a phase has no source or a weight that is not a positive number, has
  ///   fewer sources than the phase before, or does not begin after it; the first begins at 0.
  public init(phases: [Phase]) throws(TokenDataError) {
    guard phases.first?.firstSample == 0 else {
      throw .badMixture(reason: "the first phase does not begin with sample 0")
    }
    for (earlier, later) in zip(phases, phases.dropFirst()) {
      guard later.firstSample > earlier.firstSample, later.weights.count >= earlier.weights.count
      else {
        throw .badMixture(
          reason: "the phase at sample \(later.firstSample) of \(later.weights.count) sources does "
            + "not follow that at \(earlier.firstSample) of \(earlier.weights.count)")
      }
    }
    self.phases = phases
    blends = []
    for phase in phases { blends.append(try Blend(weights: phase.weights)) }
    before = [[UInt64](repeating: 0, count: phases.last?.weights.count ?? 0)]
  }

  /// Which sample of which source is sample `sample` of the mixture.
  public mutating func assignment(of sample: UInt64) -> Assignment {
    let phase = phases.lastIndex { $0.firstSample <= sample } ?? 0
    reach(phase)
    let assignment = blends[phase].assignment(of: sample - phases[phase].firstSample)
    return Assignment(
      source: assignment.source, index: before[phase][assignment.source] + assignment.index)
  }

  /// How many of the first `sample` samples each source provides.
  public mutating func counts(before sample: UInt64) -> [UInt64] {
    let phase = phases.lastIndex { $0.firstSample <= sample } ?? 0
    reach(phase)
    let own = blends[phase].counts(after: sample - phases[phase].firstSample)
    return zip(before[phase], own).map { $0 + $1 }
  }

  /// Counts what the sources provided before that phase.
  private mutating func reach(_ phase: Int) {
    while before.count <= phase {
      let last = before.count - 1
      let length = phases[last + 1].firstSample - phases[last].firstSample
      var counts = before[last]
      for (source, count) in blends[last].counts(after: length).enumerated() {
        counts[source] += count
      }
      before.append(counts)
    }
  }
}

/// The samples of one phase of a mixture.
///
/// Sample `i` comes from the source that lags most behind its share, the first of equals:
/// `argmax_s w_s * max(i, 1) - n_s`, where `n_s` counts the samples taken from `s` before (as in
/// Megatron's `build_blending_indices`). It is found by counting from 0. Going forward costs
/// `O(sources)` a sample; going back starts from a remembered point at most 65,536 samples before.
struct Blend: Sendable {
  /// The weights, normalised to sum 1.
  let weights: [Double]

  private static let stride: UInt64 = 1 << 16

  /// Samples assigned so far, by source, and their sum.
  private var counts: [UInt64]
  private var position: UInt64 = 0
  /// `counts` at the multiples of `stride`.
  private var remembered: [[UInt64]] = []

  /// A blend of sources with those weights.
  ///
  /// - Throws: `.badMixture` when there is no source, or a weight is not a positive number.
  init(weights: [Double]) throws(TokenDataError) {
    guard !weights.isEmpty else { throw .badMixture(reason: "there is no source") }
    for (i, weight) in weights.enumerated() where !(weight > 0 && weight.isFinite) {
      throw .badMixture(reason: "the weight of source \(i) is \(weight), not a positive number")
    }
    let sum = weights.reduce(0, +)
    self.weights = weights.map { $0 / sum }
    counts = [UInt64](repeating: 0, count: weights.count)
  }

  /// Which sample of which source is sample `sample` of the blend.
  mutating func assignment(of sample: UInt64) -> Mixture.Assignment {
    if weights.count == 1 { return .init(source: 0, index: sample) }
    move(to: sample)
    let source = laggard()
    return .init(source: source, index: counts[source])
  }

  /// Samples that each source provides among the first `sample`.
  mutating func counts(after sample: UInt64) -> [UInt64] {
    if weights.count == 1 { return [sample] }
    move(to: sample)
    return counts
  }

  private mutating func move(to sample: UInt64) {
    if sample < position { rewind(to: sample) }
    while position < sample { advance() }
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
