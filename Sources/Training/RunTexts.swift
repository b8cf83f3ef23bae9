import Evaluation
import Foundation
import Logging
import TokenData

/// The documents that a run tokenizes itself, in its directory.
///
/// The lead tokenizes, on a thread; all ranks follow through the file system. Texts are added before any thread is
/// started.
final class RunTexts: @unchecked Sendable {
  private let directory: String
  private var corpora: [TextCorpus] = []
  private var sources: [TextSource] = []
  /// Those that the loss is measured on, as a whole.
  private var measuredCorpora: [TextCorpus] = []
  /// Called while somebody waits for a text, with the seconds that he has waited.
  var isWaiting: (_ seconds: Double) -> Void = { _ in }

  /// No text yet; data sets are made in the run's directory.
  init(_ recipe: Recipe) { directory = recipe.run.output + "/text" }

  /// Opens a source; sources of the same text share its tokens.
  ///
  /// - Throws: `TokenDataError`; `TrainingError.unsupported` without a tokenizer.
  func source(
    _ text: Recipe.StoredText, number: Int, _ recipe: Recipe, _ model: RunModel
  ) throws -> TextSource {
    var plan = TextSource.Plan(sequenceLength: recipe.data.sequenceLength)
    plan.part = text.training
    plan.predictsAcrossDocuments = recipe.data.predictsAcrossDocuments
    plan.firstBlock = text.firstBlock
    plan.shuffle = recipe.data.shuffle
    (plan.seed, plan.source) = (recipe.run.seed, number)
    let source = try TextSource(corpus(text, model), plan)
    sources.append(source)
    return source
  }

  /// Opens a text that the loss is measured on; it shares the tokens of sources of the same text.
  ///
  /// - Throws: `TokenDataError`; `TrainingError.unsupported` without a tokenizer.
  func measured(_ text: Recipe.StoredText, _ model: RunModel) throws -> TextCorpus {
    let corpus = try corpus(text, model)
    measuredCorpora.append(corpus)
    return corpus
  }

  /// Whether samples to train on come from a text.
  private func isTrainedOn(_ corpus: TextCorpus) -> Bool {
    sources.contains { $0.corpus === corpus }
  }

  private func corpus(_ text: Recipe.StoredText, _ model: RunModel) throws -> TextCorpus {
    let corpus = try TextCorpus(
      text.names,
      tokenizer: runTokenizer(text.tokenizer, model: model, user: "text: \(text.standardName)"),
      reading: text.reading, directory: directory)
    if let same = corpora.first(where: { $0.identity == corpus.identity }) { return same }
    corpora.append(corpus)
    return corpus
  }

  /// What reads the texts that are not tokenized yet, by the texts' names.
  var vocabularies: [(name: String, vocabulary: TokenManifest.Vocabulary)] {
    let trained = sources.filter { $0.epochSampleCount == nil }.map(\.corpus)
    let others = measuredCorpora.filter { !isTrainedOn($0) && (try? $0.isWhole()) != true }
    return (trained + others).map { ($0.description, $0.tokenizer.vocabulary) }
  }

  // MARK: In a run

  /// Starts to tokenize what is not tokenized yet; on the lead, which holds the run's lock.
  ///
  /// - Throws: `TokenDataError`.
  func startTokenizing(_ log: Logger) throws {
    for corpus in corpora where try !corpus.isWhole() {
      log.info(
        "tokenizing \(megabytes(corpus.byteCount)) MB of text in the background, to \(corpus.prefix)"
      )
      let start = RunClock.seconds
      try corpus.startTokenizing { made in
        let counts = made.manifest.counts
        let seconds = String(format: "%.1f", RunClock.seconds - start)
        log.info(
          "tokenized in \(seconds) s: \(counts.documents) documents, \(counts.tokens) tokens")
        guard counts.skipped > 0 else { return }
        log.warning(
          "left out \(counts.skipped) documents: \(corpus.prefix).skipped.jsonl names them")
      }
      if !isTrainedOn(corpus) { corpus.giveWay() }
    }
  }

  /// Starts to read what is tokenized, on every rank, after the lead has started to tokenize.
  func startFollowing() { for source in sources { source.startFollowing() } }

  /// Waits until every rank sees the whole of a text; collective.
  ///
  /// - Parameters:
  ///   - corpus: the text.
  ///   - ranks: who waits.
  ///   - isInterrupted: asked meanwhile; once it says true on any rank, nobody waits.
  /// - Throws: what ended the tokenizing, on all ranks; `EvaluationError.interrupted`.
  func wait(
    for corpus: TextCorpus, _ ranks: any EvaluationRanks, isInterrupted: () -> Bool
  ) throws {
    enum Sight: UInt8 { case part, whole, interruption }
    let start = RunClock.seconds
    while true {
      let seen = try ranks.gather {
        try corpus.check()
        if isInterrupted() { return [Sight.interruption.rawValue] }
        return [(try corpus.isWhole() ? Sight.whole : .part).rawValue]
      }
      guard !seen.contains([Sight.interruption.rawValue]) else {
        throw EvaluationError.interrupted
      }
      guard seen.contains([Sight.part.rawValue]) else { return }
      isWaiting(RunClock.seconds - start)
      usleep(50_000)
    }
  }

  /// Ends all threads; what is not tokenized is left for the next start.
  func stop() {
    for source in sources { source.stopFollowing() }
    for corpus in corpora { corpus.stopTokenizing() }
  }

  /// How far this process has come, for people.
  var progress: String {
    let read = corpora.reduce(0) { $0 + $1.progress.storedBytes }
    return
      "\(megabytes(read)) of \(megabytes(corpora.reduce(0) { $0 + $1.byteCount })) MB of text are tokenized"
  }

  private func megabytes(_ bytes: Int) -> String { String(format: "%.1f", Double(bytes) * 1e-6) }

  /// By the name of each text that is tokenized, the hash of its tokens.
  var tokenHashes: [String: String] {
    var hashes: [String: String] = [:]
    for source in sources {
      guard let hash = source.files.first?.manifest?.tokens.hash else { continue }
      hashes[source.corpus.name] = hash
    }
    return hashes
  }

  /// Where the tokens of a text are.
  func prefix(of name: String) -> String { directory + "/" + name }

  // MARK: Without a run

  /// Tokenizes as much as is waited for, in a directory that is removed afterwards.
  ///
  /// - Parameter body: uses samples; it is given what waits until some are ready. Those can be used later, too.
  /// - Returns: what `body` returns.
  /// - Throws: what `body` throws, and what ends the tokenizing.
  func tokenizingElsewhere<Result>(
    _ body: (_ wait: (_ isReady: () throws -> Bool) throws -> Void) throws -> Result
  ) throws -> Result {
    let scratch = NSTemporaryDirectory() + "/statex-text-\(UUID().uuidString)"
    defer {
      stop()
      for corpus in corpora { try? corpus.discard(scratch) }
    }
    for corpus in corpora where try isTrainedOn(corpus) && !corpus.isWhole() {
      corpus.move(to: scratch)
      try corpus.startTokenizing()
    }
    startFollowing()
    return try body { isReady in
      while try !isReady() { usleep(10_000) }
    }
  }
}
