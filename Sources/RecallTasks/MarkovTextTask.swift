import ErrorReporting
import TensorStorage
import TokenData

/// Text from an order-2 Markov chain: something to model that needs no recall.
///
/// Every context of two symbols has four successors with probabilities .6, .2, .15 and .05, each
/// drawn uniformly from all symbols (so they may coincide; about 0.97 nats a token with 16
/// symbols). A row is a beginning id, two uniform symbols, then the chain; every target counts.
public final class MarkovTextTask: SampleSource {
  /// What the samples look like.
  public struct Configuration: Sendable, Equatable {
    /// Number of symbols.
    ///
    /// Default 16.
    public var symbols = 16
    /// Id of the first symbol; the others follow.
    ///
    /// Default 1.
    public var firstID = 1
    /// The id that begins a row.
    ///
    /// Default 0.
    public var beginning = 0
    /// What the table of successors is drawn from; nil means the run's seed.
    public var tableSeed: UInt64?

    /// The defaults.
    public init() {}

    /// Everything that shapes a sample; part of the random numbers' key, so never change it.
    func spelling(_ length: Int) -> String {
      "length=\(length) symbols=\(symbols) first_id=\(firstID) bos=\(beginning)"
    }
  }

  /// Probabilities of a context's four successors.
  public static let probabilities = [0.6, 0.2, 0.15, 0.05]

  /// Positions in a sample, `T`.
  public let sequenceLength: Int

  /// Nil: the samples never end.
  public var sampleCount: Int? { nil }

  /// All token ids written are below this number.
  public var requiredVocabulary: Int {
    max(configuration.firstID + configuration.symbols, configuration.beginning + 1)
  }

  /// What the samples look like.
  public let configuration: Configuration

  /// Successors of context `(a, b)`: entries `4 * (a * symbols + b)` and the three that follow.
  public let successors: [Int32]

  private let randomness: TaskRandomness

  /// Checks the configuration and draws the table of successors.
  ///
  /// - Precondition: the configuration's numbers are in their ranges.
  public init(
    configuration: Configuration, sequenceLength: Int, seed: UInt64, stream: SampleStream
  ) {
    let symbols = configuration.symbols
    let ids = [configuration.firstID, configuration.beginning]
    require(
      (2...4096).contains(symbols) && ids.allSatisfy { (0...largestVocabulary).contains($0) },
      "\(symbols) symbols with the ids \(ids)")
    self.configuration = configuration
    self.sequenceLength = sequenceLength
    randomness = TaskRandomness(
      seed: seed, task: "markov", options: configuration.spelling(sequenceLength), stream: stream)
    var random = CounterRandom(
      seed: configuration.tableSeed ?? seed, purpose: "task/markov/table/\(symbols)")
    successors = (0..<(4 * symbols * symbols)).map { _ in Int32(random.below(symbols)) }
  }

  /// Overwrites `buffer` with sample `index`.
  public func write(sample index: UInt64, into buffer: SampleBuffer) {
    require(
      buffer.sequenceLength == sequenceLength,
      "\(buffer.sequenceLength) tokens, not \(sequenceLength)")
    var random = randomness.generator(index)
    let symbols = configuration.symbols
    let first = Int32(configuration.firstID)
    buffer.place(Int32(configuration.beginning), at: 0, weight: 0)
    var older = random.below(symbols)
    var newer = random.below(symbols)
    buffer.place(first + Int32(older), at: 1, weight: 1)
    buffer.place(first + Int32(newer), at: 2, weight: 1)
    for position in stride(from: 3, through: sequenceLength, by: 1) {
      let context = 4 * (older * symbols + newer)
      let next = successors[context + Self.rank(random.uniform())]
      buffer.place(first + next, at: position, weight: 1)
      older = newer
      newer = Int(next)
    }
  }

  /// Which of the four successors a uniform number picks.
  private static func rank(_ u: Double) -> Int {
    u < 0.6 ? 0 : u < 0.8 ? 1 : u < 0.95 ? 2 : 3
  }
}
