import Foundation
import LanguageModels
import RecallTasks
import TokenData

/// The training data of a recipe, opened.
public struct RunData {
  /// Global samples by number.
  public let stream: DataStream
  /// What identifies the data: name and value pairs that must not change when a run is resumed.
  public let identity: [(field: String, value: String)]

  /// Opens all sources.
  ///
  /// - Parameters:
  ///   - recipe: which data, and the seed.
  ///   - model: for its vocabulary and its tokenizer.
  /// - Throws: `TokenDataError`, `RecallTaskError`; `TrainingError.unsupported` when a task on text
  ///   has no tokenizer or a task's tokens do not fit the vocabulary.
  public init(_ recipe: Recipe, model: RunModel) throws {
    var sources: [DataStream.Source] = []
    var identity = [
      ("run.seed", String(recipe.run.seed)),
      ("data.sequence_length", String(recipe.data.sequenceLength)),
      ("data.shuffle", String(recipe.data.shuffle)),
      ("data.reset_state_at_documents", String(recipe.data.resetsStateAtDocuments)),
      ("train.state_passing", String(recipe.train.statePassing)),
      ("train.sequences_per_step", String(recipe.train.sequencesPerStep)),
      ("the number of data.sources", String(recipe.data.sources.count)),
    ]
    if !recipe.data.predictsAcrossDocuments {
      identity.append(("data.predict_across_documents", "false"))
    }
    let vocabulary = model.configuration.vocabularySize
    for (index, source) in recipe.data.sources.enumerated() {
      let name = "data.sources.\(index)"
      identity.append((name + ".weight", String(source.weight)))
      let samples: any SampleSource
      switch source.kind {
      case .tokens(let prefix):
        let tokens = try MegatronTokens(prefix: prefix)
        identity.append((name + " (content of \(prefix))", tokens.fingerprint().description))
        samples = try TokenFileSource(
          tokens, sequenceLength: recipe.data.sequenceLength, vocabularySize: vocabulary,
          predictsAcrossDocuments: recipe.data.predictsAcrossDocuments)
      case .task(let task):
        let tokenizer = try Self.tokenizer(of: task, model)
        let reading = tokenizer.map { " read with \($0.identity)" } ?? ""
        identity.append((name, task.name + " " + task.options.oneLine + reading))
        samples = try task.configuration().makeSource(
          sequenceLength: recipe.data.sequenceLength, seed: recipe.run.seed, stream: .training,
          tokenizer: tokenizer)
      }
      guard samples.requiredVocabulary <= vocabulary else {
        throw TrainingError.unsupported(
          "\(name) makes token ids up to \(samples.requiredVocabulary - 1), but the model's "
            + "vocab_size is \(vocabulary)")
      }
      if source.loss != SourceLoss() {
        let loss = "\(source.loss.unit.rawValue) x \(source.loss.factor)"
        identity.append((name + ".loss and .loss_weight", loss))
      }
      sources.append(
        .init(
          samples, name: source.name, weight: source.weight, shuffle: recipe.data.shuffle,
          loss: source.loss))
    }
    stream = try DataStream(
      sources: sources, seed: recipe.run.seed, sequenceLength: recipe.data.sequenceLength)
    self.identity = identity.map { (field: $0.0, value: $0.1) }
  }

  /// Requires that every stored token id, or those in a part of each file, is inside the vocabulary.
  ///
  /// - Parameters:
  ///   - part: which part of every file, for ranks that divide the work.
  ///   - parts: into how many parts each is cut.
  /// - Returns: what was read, and how long that took.
  /// - Throws: `TokenDataError.invalid`, naming file, token, document and id.
  @discardableResult
  public func checkTokens(part: Int = 0, of parts: Int = 1) throws(TokenDataError) -> TokenCheck {
    let start = DispatchTime.now().uptimeNanoseconds
    var check = TokenCheck()
    for source in stream.sources {
      guard let source = source.samples as? TokenFileSource else { continue }
      let count = source.tokens.tokenCount
      check.bytes += try source.tokens.checkIDs(
        (count / parts * part)..<(part + 1 == parts ? count : count / parts * (part + 1)),
        vocabularySize: source.requiredVocabulary)
    }
    check.seconds = Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
    return check
  }

  private static func tokenizer(of task: Recipe.Task, _ model: RunModel) throws -> (any Tokenizer)?
  {
    guard try task.configuration().needsTokenizer else { return nil }
    return try runTokenizer(task.tokenizer, model: model, task: task.name)
  }
}

/// What checking token ids cost.
public struct TokenCheck: Sendable, CustomStringConvertible {
  /// Bytes of tokens read.
  public var bytes = 0
  /// Seconds that it took.
  public var seconds = 0.0

  /// Both, for people.
  public var description: String {
    bytes == 0
      ? "nothing to read"
      : String(format: "%.3f GB in %.2f s", Double(bytes) * 1e-9, seconds)
  }
}

/// The tokenizer of a task on text: `byte`, a directory, or that of the pretrained model.
func runTokenizer(_ name: String?, model: RunModel, task: String) throws -> any Tokenizer {
  if let name {
    return try loadTokenizer(name)
  }
  if let directory = model.directory,
    FileManager.default.fileExists(atPath: directory + "/tokenizer.json")
  {
    return try HuggingFaceTokenizer(directory: directory)
  }
  throw TrainingError.unsupported(
    "the task \(task) needs a tokenizer: give it `tokenizer: DIR` or `tokenizer: byte`, or put "
      + "tokenizer.json beside the model's config.json")
}
