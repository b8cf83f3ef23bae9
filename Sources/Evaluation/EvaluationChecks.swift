import LanguageModels
import Layers
import RecallTasks
import TokenData

// What can be known about a measurement without a model's weights: whether it is possible, and how much
// memory it takes.

extension EvaluationTask {
  /// Checks that the task fits its lengths and the model's vocabulary, before hours of work depend
  /// on it.
  ///
  /// Of a task on text, the shortest prompt of every question has to fit.
  ///
  /// - Parameters:
  ///   - vocabulary: ids of the model.
  ///   - seed: what the samples are drawn from.
  ///   - tokenizer: the model's; only tasks on text need one.
  /// - Throws: `RecallTaskError` or `EvaluationError`, as measuring would.
  public func check(vocabulary: Int, seed: UInt64, tokenizer: (any Tokenizer)?) throws {
    for length in lengths {
      guard configuration.needsTokenizer else {
        _ = try TokenAccuracy.source(
          configuration, sequenceLength: length, seed: seed, vocabulary: vocabulary)
        continue
      }
      guard let tokenizer else { throw RecallTaskError.tokenizerNeeded(task: name) }
      let questions = try configuration.makeGenerationTask(
        sequenceLength: length, seed: seed, tokenizer: tokenizer)
      try questions.checkQuestions(samples)
      // A tokenizer that is no larger than the model has no other ids.
      guard tokenizer.vocabularySize > vocabulary else { continue }
      for index in 0..<samples {
        let prompt = try questions.item(index, of: samples).promptTokens
        if let id = prompt.first(where: { Int($0) >= vocabulary }) {
          throw EvaluationError.token(id: id, vocabulary: vocabulary)
        }
      }
    }
  }

  /// Floats that measuring holds at most beside the parameters.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - segmentLength: tokens of a segment.
  /// - Returns: how many.
  public func memory(_ model: LanguageModel, segmentLength: Int) -> Int {
    configuration.needsTokenizer
      ? Generator.memory(model, segmentLength: segmentLength)
      : lengths.map {
        EvaluatedModel.memory(model, length: $0, segmentLength: segmentLength)
      }.max() ?? 0
  }
}

extension FileTask {
  /// Floats that measuring holds at most beside the parameters.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - segmentLength: tokens of a segment.
  /// - Returns: how many.
  public func memory(_ model: LanguageModel, segmentLength: Int) -> Int {
    guard kind == .tokenRecall else {
      return RequestScorer.memory(model, segmentLength: segmentLength)
    }
    return Set(samples.map(\.tokenCount)).map {
      EvaluatedModel.memory(model, length: $0, segmentLength: segmentLength)
    }.max() ?? 0
  }
}

extension Perplexity {
  /// Opens the text and checks that it holds a sequence, and nothing but the model's ids.
  ///
  /// - Parameters:
  ///   - text: which token files, and which of their documents.
  ///   - sequenceLength: `T`.
  ///   - limit: at most this many sequences, from the first on; nil for all.
  ///   - vocabulary: ids of the model.
  /// - Returns: the text, cut into sequences, and how many are to be measured.
  /// - Throws: `TokenDataError` when the files cannot be read, hold less than `T + 1` tokens, or an id
  ///   outside the vocabulary where something is measured.
  public static func open(
    _ text: TokenSelection, sequenceLength: Int, limit: Int? = nil, vocabulary: Int
  ) throws(TokenDataError) -> (source: TokenFileSource, sequenceCount: Int) {
    let files = try text.open()
    for tokens in files where try !LabelledRows.leaveText(tokens) {
      throw .invalid(
        path: tokens.prefix, field: "labels",
        reason:
          "samples of a task, of which few tokens count, are no text to measure: measure the task")
    }
    let source = try TokenFileSource(
      files, sequenceLength: sequenceLength, vocabularySize: vocabulary)
    let count = min(source.sampleCount ?? 0, limit ?? Int.max)
    try source.checkIDs(ofFirst: count)
    return (source, count)
  }

  /// Floats that measuring holds at most beside the parameters.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - sequenceLength: `T`.
  ///   - segmentLength: tokens of a segment.
  /// - Returns: how many.
  public static func memory(
    _ model: LanguageModel, sequenceLength: Int, segmentLength: Int
  ) -> Int {
    EvaluatedModel.memory(model, length: sequenceLength, segmentLength: segmentLength)
  }
}

extension EvaluatedModel {
  /// Floats of a batch of sequences, its samples and predictions, and the pass that runs it.
  static func memory(_ model: LanguageModel, length: Int, segmentLength: Int) -> Int {
    let size = batch(model, length: length, segmentLength: segmentLength)
    let dims = SegmentDims(batch: size, length: min(length, segmentLength))
    return SegmentActivations.count(model, dims: dims, trains: false)
      + model.stateCount(batch: size) + 4 * size * length
  }
}

extension RequestScorer {
  /// Floats that a scorer holds at most: activations of the largest batch or the longest segment, the states of a
  /// batch, and those after common starts.
  static func memory(_ model: LanguageModel, segmentLength: Int) -> Int {
    let most = EvaluatedModel.batch(model, length: 1, segmentLength: segmentLength)
    let activations = [
      SegmentDims(batch: 1, length: segmentLength),
      SegmentDims(batch: most, length: segmentLength / most),
    ].map { SegmentActivations.count(model, dims: $0, trains: false) }
    // One more at the beginning, one at the deepest start, one on its way into a batch.
    let states = SharedPrefixes.maximumDepth(model) + 3
    return (activations.max() ?? 0) + model.stateCount(batch: most)
      + states * model.stateCount(batch: 1)
  }
}

extension Generator {
  /// Floats that a generator holds.
  static func memory(_ model: LanguageModel, segmentLength: Int) -> Int {
    let dims = SegmentDims(batch: 1, length: segmentLength)
    return SegmentActivations.count(model, dims: dims, trains: false)
      + model.stateCount(batch: 1) + model.vocabulary
  }
}
