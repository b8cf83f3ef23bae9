import ErrorReporting
import TensorStorage
import TokenData

/// Multi-query associative recall: key-value pairs, then keys whose values are to be told.
///
/// Letters: `V` vocabulary, `D` pairs, `U` updates, `T` positions. In both layouts the target at a queried
/// key's position is its value. Id 0 is the blank (`zoology`) or the beginning of the row (`dense`).
///
/// With updates, `U` of the keys come a second time after the pairs, in random order and each with another
/// value, which is the one to be told: the last one wins. (`zoology/data/forgetting_mqar.py`, whose new value
/// may by accident be the old one.)
public final class MQARTask: SampleSource {
  /// How pairs and queries are arranged.
  public enum Layout: String, Sendable, CaseIterable {
    /// `K1 V1 ... KD VD` and the updates, then two-position slots, `D` of which hold a key each; the slots are
    /// drawn without replacement with `p(g) ~ (g+1)^(a-1)`; the answer is never in the input.
    /// Agrees with `zoology/data/multiquery_ar.py` (its assertion `V > T` is not needed and left
    /// out).
    case zoology
    /// `0 K1 V1 ... KD VD` and the updates, then `key value` queries in random permutations of the keys until the
    /// row is full; the answer follows its key.
    case dense
  }

  /// What the samples look like.
  public struct Configuration: Sendable, Equatable {
    /// Ids are below this number.
    ///
    /// Default 8192.
    public var vocabulary = 8192
    /// Pairs in a sample; one of these numbers is drawn for each sample.
    ///
    /// Default 4.
    public var pairs = [4]
    /// Keys that get another value, at most the pairs.
    ///
    /// Default 0.
    public var updates = 0
    /// Default zoology.
    public var layout = Layout.zoology
    /// Exponent `a` of the slots' distribution; 1 is uniform.
    ///
    /// Default 0.01. `zoology` only.
    public var powerA = 0.01
    /// Whether blanks become uniform ids in 0..<V.
    ///
    /// Default true. `zoology` only.
    public var randomNonQueries = true
    /// Key ids are 1...keys.
    ///
    /// Default `V/2 - 1`.
    public var keys: Int?
    /// Value ids are the `values` ids after the keys.
    ///
    /// Default the rest of the vocabulary.
    public var values: Int?

    /// The defaults.
    public init() {}

    var keyCount: Int { keys ?? vocabulary / 2 - 1 }
    var valueCount: Int { values ?? vocabulary - keyCount - 1 }

    /// Everything that shapes a sample; part of the random numbers' key, so never change it.
    func spelling(_ length: Int) -> String {
      "layout=\(layout.rawValue) length=\(length) vocab=\(vocabulary) pairs=\(pairs) "
        + "keys=\(keyCount) values=\(valueCount) power_a=\(powerA) random=\(randomNonQueries)"
        + (updates == 0 ? "" : " updates=\(updates)")
    }
  }

  /// Positions in a sample, `T`.
  public let sequenceLength: Int

  /// Nil: the samples never end.
  public var sampleCount: Int? { nil }

  /// All token ids written are below this number.
  public var requiredVocabulary: Int { configuration.vocabulary }

  /// What the samples look like.
  public let configuration: Configuration

  private let randomness: TaskRandomness
  private var keySampler: DistinctSampler
  private var valueSampler: DistinctSampler
  private var slotSampler: PowerLawSlotSampler
  private var keys: [Int32]
  private var values: [Int32]
  private var slots: [Int32]
  /// Numbers of keys, those that are updated first.
  private var updated: [Int]

  /// Checks the configuration and prepares scratch memory.
  ///
  /// - Throws: `RecallTaskError.invalidOption` naming the option that cannot be used.
  public init(
    configuration: Configuration, sequenceLength: Int, seed: UInt64, stream: SampleStream
  ) throws(RecallTaskError) {
    try Self.check(configuration, sequenceLength: sequenceLength)
    self.configuration = configuration
    self.sequenceLength = sequenceLength
    randomness = TaskRandomness(
      seed: seed, task: "mqar", options: configuration.spelling(sequenceLength), stream: stream)
    let most = configuration.pairs.max() ?? 1
    let updates = configuration.updates
    let zoology = configuration.layout == .zoology
    keySampler = DistinctSampler(count: configuration.keyCount, most: most)
    valueSampler = DistinctSampler(
      count: zoology ? configuration.valueCount : 0, most: most + updates)
    slotSampler = PowerLawSlotSampler(
      slotCount: zoology ? sequenceLength / 2 : 0, most: most, power: configuration.powerA)
    keys = [Int32](repeating: 0, count: most)
    values = [Int32](repeating: 0, count: most + updates)
    updated = [Int](repeating: 0, count: most)
    slots = [Int32](repeating: 0, count: most)
  }

  private static func check(
    _ configuration: Configuration, sequenceLength length: Int
  ) throws(RecallTaskError) {
    func demand(_ holds: Bool, _ option: String, _ reason: String) throws(RecallTaskError) {
      if !holds { throw .invalidOption(task: "mqar", option: option, reason: reason) }
    }
    let most = configuration.pairs.max() ?? 0
    let (vocabulary, updates) = (configuration.vocabulary, configuration.updates)
    require(
      (4...largestVocabulary).contains(vocabulary) && most >= 1,
      "\(most) pairs of a vocabulary of \(vocabulary)")
    for (option, count) in [("keys", configuration.keys), ("values", configuration.values)] {
      try demand(
        (1..<vocabulary).contains(count ?? 1), option,
        "is \(count ?? 1), not between 1 and \(vocabulary - 1)")
    }
    try demand(
      configuration.keyCount >= most, "keys",
      "leaves \(configuration.keyCount) key ids for \(most) distinct keys")
    try demand(configuration.valueCount >= 1, "values", "leaves no value id")
    try demand(
      configuration.keyCount + configuration.valueCount < vocabulary, "values",
      "asks for ids past the vocabulary of \(vocabulary)")
    let fewest = configuration.pairs.min() ?? 0
    try demand(
      updates <= fewest, "updates", "is \(updates), more than the \(fewest) pairs of a sample")
    let also = updates == 0 ? "" : " with \(updates) updates"
    switch configuration.layout {
    case .dense:
      try demand(
        updates == 0 || configuration.valueCount >= 2, "updates",
        "needs two value ids or more, not \(configuration.valueCount)")
      let needed = 2 * (most + updates) + 2
      try demand(
        needed <= length, "pairs",
        "of \(most)\(also) need a sequence of \(needed) or more, not \(length)")
    case .zoology:
      try demand(
        configuration.valueCount >= most + updates, "values",
        "leaves \(configuration.valueCount) value ids for \(most + updates) distinct values")
      try demand(length % 2 == 0, "layout", "zoology needs an even sequence length, not \(length)")
      let needed = 4 * most + 2 * updates
      try demand(
        needed <= length, "pairs",
        "of \(most)\(also) need a sequence of \(needed) or more, not \(length)")
    }
  }

  /// Overwrites `buffer` with sample `index`.
  public func write(sample index: UInt64, into buffer: SampleBuffer) {
    require(
      buffer.sequenceLength == sequenceLength,
      "\(buffer.sequenceLength) tokens, not \(sequenceLength)")
    var random = randomness.generator(index)
    let choice = configuration.pairs.count == 1 ? 0 : random.below(configuration.pairs.count)
    let pairs = configuration.pairs[choice]
    keySampler.draw(pairs, offset: 1, into: &keys, using: &random)
    switch configuration.layout {
    case .zoology: writeZoology(pairs, into: buffer, using: &random)
    case .dense: writeDense(pairs, into: buffer, using: &random)
    }
  }

  private func writeZoology(
    _ pairs: Int, into buffer: SampleBuffer, using random: inout CounterRandom
  ) {
    let updates = configuration.updates
    let firstValue = Int32(configuration.keyCount + 1)
    valueSampler.draw(pairs + updates, offset: firstValue, into: &values, using: &random)
    let context = 2 * (pairs + updates)
    slotSampler.draw(
      pairs, of: (sequenceLength - context) / 2, into: &slots, using: &random)
    buffer.clear()
    for i in 0..<pairs {
      buffer.inputs[2 * i] = keys[i]
      buffer.inputs[2 * i + 1] = values[i]
    }
    drawUpdates(pairs, using: &random)
    for i in 0..<updates {
      buffer.inputs[2 * (pairs + i)] = keys[updated[i]]
      buffer.inputs[2 * (pairs + i) + 1] = values[pairs + i]
      values[updated[i]] = values[pairs + i]
    }
    for i in 0..<pairs {
      let position = context + 2 * Int(slots[i])
      buffer.inputs[position] = keys[i]
      buffer.targets[position] = values[i]
      buffer.weights[position] = 1
    }
    guard configuration.randomNonQueries else { return }
    for position in context..<sequenceLength where buffer.inputs[position] == 0 {
      buffer.inputs[position] = Int32(random.below(configuration.vocabulary))
    }
  }

  private func writeDense(
    _ pairs: Int, into buffer: SampleBuffer, using random: inout CounterRandom
  ) {
    let firstValue = Int32(configuration.keyCount + 1)
    buffer.place(0, at: 0, weight: 0)
    for i in 0..<pairs {
      values[i] = firstValue + Int32(random.below(configuration.valueCount))
      buffer.place(keys[i], at: 2 * i + 1, weight: 0)
      buffer.place(values[i], at: 2 * i + 2, weight: 0)
    }
    drawUpdates(pairs, using: &random)
    var position = 2 * pairs + 1
    for key in updated[..<configuration.updates] {
      // One of the other values.
      let other = Int(values[key] - firstValue) + 1 + random.below(configuration.valueCount - 1)
      values[key] = firstValue + Int32(other % configuration.valueCount)
      buffer.place(keys[key], at: position, weight: 0)
      buffer.place(values[key], at: position + 1, weight: 0)
      position += 2
    }
    while position <= sequenceLength {
      drawOrder(pairs, using: &random)
      for i in 0..<pairs {
        buffer.place(keys[Int(slots[i])], at: position, weight: 0)
        buffer.place(values[Int(slots[i])], at: position + 1, weight: 1)
        position += 2
      }
    }
  }

  /// Overwrites the first `updates` of `updated` with different keys.
  private func drawUpdates(_ pairs: Int, using random: inout CounterRandom) {
    guard configuration.updates > 0 else { return }
    for i in 0..<pairs { updated[i] = i }
    for i in 0..<configuration.updates { updated.swapAt(i, i + random.below(pairs - i)) }
  }

  /// Overwrites `slots[0..<pairs]` with a random permutation (inside-out Fisher-Yates).
  private func drawOrder(_ pairs: Int, using random: inout CounterRandom) {
    for i in 0..<pairs {
      let j = random.below(i + 1)
      slots[i] = slots[j]
      slots[j] = Int32(truncatingIfNeeded: i)
    }
  }
}
