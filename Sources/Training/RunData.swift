import Fields
import Files
import Foundation
import LanguageModels
import RecallTasks
import TokenData

/// The training data of a recipe, opened.
public struct RunData {
  /// Where samples come from, with their weights.
  public let sources: [DataStream.Source]
  /// What must not change when a run is resumed.
  let identity: DataIdentity
  /// What of them the run tokenizes itself.
  let texts: RunTexts

  private let recipe: Recipe

  /// Opens all sources.
  ///
  /// - Parameters:
  ///   - recipe: which data, and the seed.
  ///   - model: for its vocabulary and its tokenizer.
  /// - Throws: `TokenDataError`, `RecallTaskError`; `TrainingError.unsupported` when a task on text
  ///   has no tokenizer or a task's tokens do not fit the vocabulary.
  public init(_ recipe: Recipe, model: RunModel) throws {
    self.recipe = recipe
    var sources: [DataStream.Source] = []
    var contents: [DataIdentity.Source] = []
    let vocabulary = model.configuration.vocabularySize
    let texts = RunTexts(recipe)
    for (index, source) in recipe.data.sources.enumerated() {
      let (samples, content) = try Self.open(source, recipe, model) { text in
        try texts.source(text, number: index, recipe, model)
      }
      guard samples.requiredVocabulary <= vocabulary else {
        throw TrainingError.unsupported(
          "data.sources.\(index) produces token ids up to \(samples.requiredVocabulary - 1), but the "
            + "model's vocab_size is \(vocabulary)")
      }
      contents.append(content)
      sources.append(
        .init(
          samples, name: source.name, weight: source.weight, shuffle: recipe.data.shuffle,
          loss: source.loss))
    }
    (self.sources, self.texts) = (sources, texts)
    identity = DataIdentity(
      settings: Self.settings(recipe), sources: contents, weights: sources.map(\.weight))
  }

  /// Keys of the recipe that decide which samples come when, and what counts in them.
  private static func settings(_ recipe: Recipe) -> [(field: String, value: String)] {
    let data = recipe.data
    let losses = data.sources.enumerated().map { index, source in
      ("data.sources.\(index).loss", "\(source.loss.unit.rawValue) x \(source.loss.factor)")
    }
    return [
      ("run.seed", String(recipe.run.seed)),
      ("data.sequence_length", String(data.sequenceLength)),
      ("data.shuffle", String(data.shuffle)),
      ("data.reset_state_at_documents", String(data.resetsStateAtDocuments)),
      ("data.predict_across_documents", String(data.predictsAcrossDocuments)),
      ("train.state_passing", String(recipe.train.statePassing)),
      ("train.sequences_per_step", String(recipe.train.sequencesPerStep)),
    ] + losses
  }

  /// The token files of all sources; of text once it is tokenized.
  var files: [MegatronTokens] {
    sources.flatMap { source in
      (source.samples as? TokenFileSource)?.files ?? (source.samples as? TextSource)?.files ?? []
    }
  }

  /// Global samples by number.
  ///
  /// - Parameter phases: how sources were mixed so far, the last phase with the recipe's weights; nil for
  ///   the recipe's weights from the first step on.
  /// - Returns: the samples.
  /// - Throws: `.badMixture`.
  public func stream(phases: [Mixture.Phase]? = nil) throws -> DataStream {
    let stream = try DataStream(
      sources: sources, phases: phases, seed: recipe.run.seed,
      sequenceLength: recipe.data.sequenceLength)
    try checkEpochs(stream)
    return stream
  }

  /// Refuses a run that goes through a source more often than its `max_epochs` says; where samples are still
  /// being made, as soon as they are counted.
  private func checkEpochs(_ stream: DataStream) throws {
    let samples = UInt64(recipe.train.steps) * UInt64(recipe.train.sequencesPerStep)
    guard recipe.data.sources.contains(where: { $0.maxEpochs != nil }) else { return }
    let counts = stream.samplesOfSources(before: samples)
    for (index, source) in recipe.data.sources.enumerated() {
      guard let most = source.maxEpochs else { continue }
      let steps = recipe.train.steps
      func check(_ size: Int) throws(TokenDataError) {
        let epochs = Double(counts[index]) / Double(size)
        guard epochs > most else { return }
        throw .badMixture(
          reason: String(
            format: "%@: %d steps go through its %d samples %.2f times, and max_epochs is %g: "
              + "train fewer steps, give it less weight, or raise max_epochs", source.name,
            steps, size, epochs, most))
      }
      if let text = sources[index].samples as? TextSource {
        try text.whenCounted(check)
      } else if let size = sources[index].samples.sampleCount {
        try check(size)
      }
    }
  }

  private static func open(
    _ source: Recipe.Source, _ recipe: Recipe, _ model: RunModel,
    _ text: (Recipe.StoredText) throws -> TextSource
  ) throws -> (any SampleSource, DataIdentity.Source) {
    switch source.kind {
    case .tokens(let stored):
      let files = try stored.training.open()
      let content = "tokens " + stored.training.fingerprint(of: files)
      if let rows = try labelledRows(files, stored, recipe, model) {
        return (
          rows,
          .init(
            content: content + " labels " + rows.labelHash,
            name: stored.names.joined(separator: ", "))
        )
      }
      let samples = try TokenFileSource(
        files, sequenceLength: recipe.data.sequenceLength,
        vocabularySize: model.configuration.vocabularySize,
        predictsAcrossDocuments: recipe.data.predictsAcrossDocuments)
      return (samples, .init(content: content, name: stored.names.joined(separator: ", ")))
    case .text(let stored):
      let samples = try text(stored)
      return (
        samples, .init(content: samples.identity, name: stored.names.joined(separator: ", "))
      )
    case .task(let task):
      let tokenizer = try Self.tokenizer(of: task, model)
      let reading = tokenizer.map { " read with \($0.identity)" } ?? ""
      let name = task.name + " " + task.options.oneLine + reading
      let content = try Self.content(of: task) + reading
      let samples = try task.configuration.makeSource(
        sequenceLength: recipe.data.sequenceLength, seed: recipe.run.seed, stream: .training,
        tokenizer: tokenizer)
      return (samples, .init(content: content, name: name))
    }
  }

  /// The task and its options, a file among them by its contents.
  private static func content(of task: Recipe.Task) throws(RecallTaskError) -> String {
    let options = FieldValue(
      .mapping(task.options.entries.filter { $0.key != "haystack" }), place: task.options.place)
    let haystack = try task.configuration.haystack().map { " in \($0)" } ?? ""
    return "task " + task.name + " " + options.oneLine + haystack
  }

  /// The rows of a source whose tokens have labels; nil where they have none.
  private static func labelledRows(
    _ files: [MegatronTokens], _ stored: Recipe.StoredTokens, _ recipe: Recipe, _ model: RunModel
  ) throws -> LabelledRows? {
    let labelled = try files.filter { try LabelledRows.exist($0.prefix) }
    guard let tokens = labelled.first else { return nil }
    guard files.count == 1, stored.heldOut == nil else {
      throw TrainingError.unsupported(
        "\(tokens.prefix) has labels, so it is neither joined with other files nor split: give it a "
          + "source of its own")
    }
    return try LabelledRows(
      tokens, sequenceLength: recipe.data.sequenceLength,
      vocabularySize: model.configuration.vocabularySize)
  }

  /// Requires that every stored token id, or those in a part of each file, is inside the vocabulary.
  ///
  /// - Parameters:
  ///   - part: which part of every file, for ranks that divide the work.
  ///   - parts: into how many parts each is cut.
  ///   - isInterrupted: asked now and then; once it says true the rest is left out.
  /// - Returns: what was read, and how long that took.
  /// - Throws: `TokenDataError.invalid`, naming file, token, document and id.
  @discardableResult
  public func checkTokens(
    part: Int = 0, of parts: Int = 1, isInterrupted: () -> Bool = { false }
  ) throws(TokenDataError) -> TokenCheck {
    let start = RunClock.seconds
    var check = TokenCheck()
    for source in sources {
      guard let source = source.samples as? TokenFileSource else { continue }
      for tokens in source.files {
        let count = tokens.tokenCount
        check.bytes += try tokens.checkIDs(
          (count / parts * part)..<(part + 1 == parts ? count : count / parts * (part + 1)),
          vocabularySize: source.requiredVocabulary, isInterrupted: isInterrupted)
      }
    }
    check.seconds = RunClock.seconds - start
    return check
  }

  private static func tokenizer(of task: Recipe.Task, _ model: RunModel) throws -> (any Tokenizer)?
  {
    guard task.configuration.needsTokenizer else { return nil }
    return try runTokenizer(task.tokenizer, model: model, user: "the task \(task.name)")
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

/// The tokenizer of a task on text or of documents: `byte`, a directory, or that of the pretrained model.
///
/// - Parameters:
///   - name: as the recipe says; nil for the model's.
///   - model: the model.
///   - user: what needs it, for the error.
/// - Returns: a new tokenizer.
/// - Throws: `TokenDataError`; `TrainingError.unsupported` where there is none.
func runTokenizer(_ name: String?, model: RunModel, user: String) throws -> any Tokenizer {
  if let name {
    return try loadTokenizer(name)
  }
  if let tokenizer = try modelTokenizer(model) { return tokenizer }
  throw TrainingError.unsupported(
    "\(user) needs a tokenizer: give it `tokenizer: DIR` or `tokenizer: byte`, or put "
      + "tokenizer.json beside the model's config.json")
}

/// The tokenizer of the pretrained model; nil where its directory has none.
func modelTokenizer(_ model: RunModel) throws -> (any Tokenizer)? {
  guard let directory = model.directory,
    try FileSystem.exists(directory + "/tokenizer.json")
  else { return nil }
  return try HuggingFaceTokenizer(path: directory)
}
