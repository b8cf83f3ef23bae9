import ErrorReporting
import TensorStorage
import TokenData

/// Copying and selective copying, in the forms of MAD (Poli et al., 2024) and of S4 (Gu et al., 2022).
///
/// With `V` ids and `m` tokens to copy, MAD: id `V-1` asks for the copy, `V-2` is the blank, content ids
/// are 0..<V-2. A row is `T - 2m - 1` blanks and the content, the copy id, then `m` blanks at which
/// the content is to be told in order. Copying puts the content first; selective copying scatters
/// it among the blanks, every arrangement being equally likely (MAD's own generator never puts a
/// blank after the last content token).
///
/// S4: content ids are 1..<V-1, id 0 is the noise, and `m` markers `V-1` stand at the end, at which the content
/// is to be told in order; `T - m` positions before them hold the noise and the content.
public final class CopyingTask: SampleSource {
  /// Whose arrangement a row has.
  public enum Form: String, Sendable, CaseIterable {
    /// One id asks for the copy, blanks follow.
    case mad
    /// A marker for each token asks for it.
    case s4
  }

  /// What the samples look like.
  public struct Configuration: Sendable, Equatable {
    /// Number of ids, content and the two special ones.
    ///
    /// Default 16.
    public var vocabulary = 16
    /// Tokens to copy, `m`.
    ///
    /// Default 16.
    public var tokens = 16
    /// Default mad.
    public var form = Form.mad
    /// Whether blanks stand between the content tokens.
    public var selective: Bool

    /// The defaults.
    public init(selective: Bool) { self.selective = selective }

    var taskName: String { selective ? "selective_copying" : "copying" }

    /// Everything that shapes a sample; part of the random numbers' key, so never change it.
    func spelling(_ length: Int) -> String {
      "length=\(length) vocab=\(vocabulary) tokens=\(tokens)" + (form == .mad ? "" : " form=s4")
    }

    /// Positions that a row needs beside those that hold the content and its copy.
    fileprivate var further: Int { form == .mad ? 1 : 0 }
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

  /// Checks the configuration.
  ///
  /// - Throws: `RecallTaskError.invalidOption` naming the option that cannot be used.
  public init(
    configuration: Configuration, sequenceLength: Int, seed: UInt64, stream: SampleStream
  ) throws(RecallTaskError) {
    let (vocabulary, tokens) = (configuration.vocabulary, configuration.tokens)
    require((3...largestVocabulary).contains(vocabulary), "a vocabulary of \(vocabulary)")
    let most = (sequenceLength - configuration.further) / 2
    guard tokens >= 1 && tokens <= most else {
      throw .invalidOption(
        task: configuration.taskName, option: "tokens",
        reason:
          "is \(tokens): a sequence of \(sequenceLength) holds 1 to \(most), and \(tokens) need"
          + " a sequence of \(2 * tokens + configuration.further) or more")
    }
    self.configuration = configuration
    self.sequenceLength = sequenceLength
    randomness = TaskRandomness(
      seed: seed, task: configuration.taskName, options: configuration.spelling(sequenceLength),
      stream: stream)
  }

  /// Overwrites `buffer` with sample `index`.
  public func write(sample index: UInt64, into buffer: SampleBuffer) {
    require(
      buffer.sequenceLength == sequenceLength,
      "\(buffer.sequenceLength) tokens, not \(sequenceLength)")
    var random = randomness.generator(index)
    let (vocabulary, tokens) = (configuration.vocabulary, configuration.tokens)
    let isMAD = configuration.form == .mad
    let copyPosition = sequenceLength - tokens - configuration.further
    buffer.clear(padding: isMAD ? Int32(vocabulary - 2) : 0)
    for position in copyPosition..<(isMAD ? copyPosition + 1 : sequenceLength) {
      buffer.inputs[position] = Int32(vocabulary - 1)
    }
    var placed = 0
    for position in 0..<copyPosition where placed < tokens {
      // Selection sampling: each set of positions is equally likely.
      let takes =
        !configuration.selective || random.below(copyPosition - position) < tokens - placed
      guard takes else { continue }
      let token = Int32(random.below(vocabulary - 2) + (isMAD ? 0 : 1))
      buffer.inputs[position] = token
      buffer.targets[sequenceLength - tokens + placed] = token
      buffer.weights[sequenceLength - tokens + placed] = 1
      placed += 1
    }
  }
}
