import ErrorReporting

/// The training data of a run: sample `i` is a pure function of (sources, phases, seed, i).
///
/// Nothing depends on ranks, threads, or which samples were written before; a run resumes by asking
/// for the next number.
public final class DataStream {
  /// One source of a mixture.
  public struct Source {
    /// Writes the source's own samples.
    public let samples: any SampleSource

    /// What it is called in logs.
    public let name: String

    /// Its share of the mixture, relative to the other sources'.
    public let weight: Double

    /// Whether a finite source is gone through in another random order in each epoch.
    public let shuffle: Bool

    /// What its targets weigh in the loss.
    public let loss: SourceLoss

    /// A source.
    ///
    /// Endless sources (tasks) have no order, so `shuffle` does not matter to them.
    public init(
      _ samples: any SampleSource, name: String = "", weight: Double = 1, shuffle: Bool = true,
      loss: SourceLoss = SourceLoss()
    ) {
      self.samples = samples
      self.name = name
      self.weight = weight
      self.shuffle = shuffle
      self.loss = loss
    }

    /// Overwrites `buffer` with the source's sample `index`, its weights as `loss` says.
    ///
    /// - Throws: what the source throws when its data are damaged.
    public func write(sample index: UInt64, into buffer: SampleBuffer) throws {
      try samples.write(sample: index, into: buffer)
      loss.scale(buffer.weights)
      if let history = buffer.history { samples.writeHistory(sample: index, into: history) }
    }
  }

  /// Positions in a sample, `T`.
  public let sequenceLength: Int

  /// The sources.
  public let sources: [Source]

  private let seed: UInt64
  private var mixture: Mixture
  /// The permutation last used of each source, and its epoch.
  private var orders: [(epoch: UInt64, order: SampleOrder)?]

  /// Mixes `sources`.
  ///
  /// - Parameters:
  ///   - sources: one or more; all write `sequenceLength` positions.
  ///   - phases: which sources were mixed how so far, the last one with the weights of `sources`; nil
  ///     for those weights from the first sample on.
  ///   - seed: the run's seed, which keys the order of shuffled sources.
  ///   - sequenceLength: `T`.
  /// - Throws: `.badMixture` when there is no source or a weight is not positive.
  public init(
    sources: [Source], phases: [Mixture.Phase]? = nil, seed: UInt64, sequenceLength: Int
  ) throws(TokenDataError) {
    let weights = sources.map(\.weight)
    mixture = try Mixture(phases: phases ?? [.init(firstSample: 0, weights: weights)])
    require(
      mixture.phases.last?.weights.count == sources.count, "the last phase mixes other sources")
    for source in sources {
      require(
        source.samples.sequenceLength == sequenceLength,
        "\(source.name): \(source.samples.sequenceLength) tokens, not \(sequenceLength)")
    }
    self.sources = sources
    self.seed = seed
    self.sequenceLength = sequenceLength
    orders = sources.map { _ in nil }
  }

  /// All token ids are below this number.
  public var requiredVocabulary: Int { sources.map(\.samples.requiredVocabulary).max() ?? 0 }

  /// Overwrites `buffer` with global sample `sample`, its weights as its source's `loss` says.
  ///
  /// - Throws: what the source throws when its data are damaged.
  public func write(globalSample sample: UInt64, into buffer: SampleBuffer) throws {
    let assignment = mixture.assignment(of: sample)
    try sources[assignment.source].write(sample: sampleIndex(assignment), into: buffer)
  }

  /// Whether global sample `sample` can be written now.
  ///
  /// - Throws: what keeps it from ever being written.
  public func isReady(globalSample sample: UInt64) throws -> Bool {
    let assignment = mixture.assignment(of: sample)
    return try sources[assignment.source].samples.isReady(sample: sampleIndex(assignment))
  }

  /// Which source provides global sample `sample`.
  public func source(ofGlobalSample sample: UInt64) -> Int {
    mixture.assignment(of: sample).source
  }

  /// Which source provides global sample `sample`, and which of its own samples that is.
  public func origin(ofGlobalSample sample: UInt64) -> (source: Int, index: UInt64) {
    let assignment = mixture.assignment(of: sample)
    return (assignment.source, sampleIndex(assignment))
  }

  /// How many of the first `sample` global samples each source provides.
  public func samplesOfSources(before sample: UInt64) -> [UInt64] { mixture.counts(before: sample) }

  /// How often the source of global sample `sample` was gone through before; 0 where it never ends.
  public func epoch(ofGlobalSample sample: UInt64) -> UInt64 {
    place(mixture.assignment(of: sample)).epoch
  }

  /// The epoch of one of a source's samples, and how many of the epoch came before.
  private func place(
    _ assignment: Mixture.Assignment
  ) -> (epoch: UInt64, position: UInt64, count: Int?) {
    let samples = sources[assignment.source].samples
    guard let count = samples.sampleCount else {
      return (samples.epoch(ofSample: assignment.index), assignment.index, nil)
    }
    let (epoch, position) = assignment.index.quotientAndRemainder(dividingBy: UInt64(count))
    return (epoch, position, count)
  }

  private func sampleIndex(_ assignment: Mixture.Assignment) -> UInt64 {
    let (epoch, position, count) = place(assignment)
    guard let count, sources[assignment.source].shuffle else { return position }
    if let last = orders[assignment.source], last.epoch == epoch {
      return UInt64(last.order(Int(position)))
    }
    let order = SampleOrder(count: count, seed: seed, source: assignment.source, epoch: epoch)
    orders[assignment.source] = (epoch, order)
    return UInt64(order(Int(position)))
  }
}
