import ErrorReporting
import Foundation
import Synchronization
import Threads

/// Samples of documents that are still being tokenized.
///
/// The first time they come in blocks (`GrowingBlocks`) that are shuffled one by one, later all are shuffled
/// among each other: that order does not depend on how fast the text is tokenized. Sample `i` here is the
/// `i`-th that the source gives to a run.
public final class TextSource: SampleSource, @unchecked Sendable {
  /// How samples are cut from the documents, and in which order they come.
  public struct Plan: Sendable {
    /// Which of the documents.
    public var part = TokenSelection.Part.all
    /// Positions in a sample, `T`.
    public var sequenceLength: Int
    /// Whether predictions across documents count in the loss.
    public var predictsAcrossDocuments = true
    /// Tokens of the first block, about.
    public var firstBlock = 1 << 22
    /// Whether the order is random; else samples come in file order.
    public var shuffle = true
    /// The run's seed.
    public var seed: UInt64 = 0
    /// Which source of the mixture it is.
    public var source = 0

    /// Samples of that length from all documents.
    public init(sequenceLength: Int) { self.sequenceLength = sequenceLength }
  }

  /// Positions in a sample, `T`.
  public var sequenceLength: Int { plan.sequenceLength }
  /// The source orders its samples itself, and so never ends.
  public let sampleCount: Int? = nil
  /// All token ids written are below this number.
  public var requiredVocabulary: Int { corpus.tokenizer.vocabularySize }
  /// Where the tokens come from.
  public let corpus: TextCorpus

  private let plan: Plan
  private let blocks: GrowingBlocks

  private struct State {
    /// What is there so far; nil while that is less than a sample.
    var samples: TokenFileSource?
    var isWhole = false
    var failure: (any Error)?
  }

  /// Written by the thread that follows, read by the one that trains.
  private let lock = Mutex(())
  private var state = State()
  private let isStopping = Atomic(false)
  /// Whether training waits, so that the thread looks more often.
  private let isAwaited = Atomic(false)
  private let wakeUp = DispatchSemaphore(value: 0)
  private var isFollowing = false
  /// Whether some sample was there.
  private var hasBegun = false
  /// What is to be checked of the number of samples once it is known.
  private var sizeCheck: ((Int) throws -> Void)?
  /// The permutation used last, its epoch and its block.
  private var order: (epoch: UInt64, block: Int, order: SampleOrder)?

  /// Samples of a corpus; those of one that is tokenized already are there at once.
  ///
  /// - Throws: `.file`; `.invalid` when there are too few tokens for one sample.
  public init(_ corpus: TextCorpus, _ plan: Plan) throws(TokenDataError) {
    (self.corpus, self.plan) = (corpus, plan)
    blocks = GrowingBlocks(firstTokens: plan.firstBlock, sequenceLength: plan.sequenceLength)
    if let tokens = try corpus.tokens() {
      state = State(samples: try samples(tokens), isWhole: true)
    }
  }

  /// What must not change when a run is resumed.
  public var identity: String {
    corpus.identity + plan.part.identity
      + (plan.shuffle ? ", shuffled in blocks from \(plan.firstBlock) tokens on" : "")
  }

  /// Samples of an epoch; nil as long as that is not known.
  public var epochSampleCount: Int? {
    lock.withLock { _ in state.isWhole ? state.samples?.sampleCount : nil }
  }

  /// Lets something be checked of the number of an epoch's samples as soon as it is known, which may be now.
  public func whenCounted(_ check: @escaping (Int) throws -> Void) throws {
    if let count = epochSampleCount { return try check(count) }
    sizeCheck = check
  }

  // MARK: What is there

  /// Starts to look for new tokens on a thread; before that only those that were there at first are.
  public func startFollowing() {
    guard !isFollowing, epochSampleCount == nil else { return }
    isFollowing = true
    let isStarted = startThread { [self] in
      var seen = 0
      while !isStopping.load(ordering: .relaxed), !follow(&seen) {
        let pause = isAwaited.load(ordering: .relaxed) ? 10 : 1000
        _ = wakeUp.wait(timeout: .now() + .milliseconds(pause))
      }
    }
    // Where the system gives no thread, who trains looks himself.
    isFollowing = isStarted
  }

  /// Ends the thread soon.
  public func stopFollowing() {
    isStopping.store(true, ordering: .relaxed)
    wakeUp.signal()
  }

  /// Looks once.
  ///
  /// - Parameter seen: tokens that were found before.
  /// - Returns: whether nothing else will come.
  private func follow(_ seen: inout Int) -> Bool {
    do throws(TokenDataError) {
      if let tokens = try corpus.tokens() {
        let samples = try samples(tokens)
        lock.withLock { _ in (state.samples, state.isWhole) = (samples, true) }
        return true
      }
      if let tokens = try corpus.publishedTokens(least: seen + max(seen / 4, 1)) {
        seen = tokens.tokenCount
        let selected = tokens.selecting(plan.part)
        guard selected.tokenCount > sequenceLength else { return false }
        let samples = try cut(selected)
        lock.withLock { _ in state.samples = samples }
      }
      return false
    } catch {
      // It was finished, or begun anew, in this moment.
      if case .file(let error) = error, error.saysAbsent { return false }
      lock.withLock { _ in state.failure = error }
      return true
    }
  }

  private func samples(_ tokens: MegatronTokens) throws(TokenDataError) -> TokenFileSource {
    let selected = tokens.selecting(plan.part)
    guard selected.tokenCount > 0 else { throw TokenSelection.nothing(in: [tokens]) }
    return try cut(selected)
  }

  private func cut(_ tokens: MegatronTokens) throws(TokenDataError) -> TokenFileSource {
    // Now, on this thread, and not when the first sample is written.
    _ = tokens.documentStarts
    return try TokenFileSource(
      [tokens], sequenceLength: sequenceLength, vocabularySize: requiredVocabulary,
      predictsAcrossDocuments: plan.predictsAcrossDocuments)
  }

  // MARK: Order

  /// Where a sample stands, as far as that is known.
  private func place(
    _ number: Int, _ state: State
  ) -> (epoch: UInt64, block: GrowingBlocks.Block, position: Int)? {
    let count = state.samples?.sampleCount ?? 0
    var block = blocks.block(of: number)
    guard state.isWhole else {
      let isThere = plan.shuffle ? block.samples.upperBound <= count : number < count
      return isThere ? (0, block, number - block.samples.lowerBound) : nil
    }
    let (epoch, position) = number.quotientAndRemainder(dividingBy: count)
    guard epoch == 0 else { return (UInt64(epoch), .init(number: 0, samples: 0..<count), position) }
    block.samples = block.samples.clamped(to: 0..<count)
    return (0, block, position - block.samples.lowerBound)
  }

  /// A sample's number among those of the files, and what holds them.
  private func found(_ number: UInt64) -> (samples: TokenFileSource, index: UInt64) {
    let state = lock.withLock { _ in self.state }
    guard let samples = state.samples, let place = place(Int(number), state) else {
      fatalError("sample \(number) is used before it is there")
    }
    let block = place.block
    guard plan.shuffle else {
      return (samples, UInt64(block.samples.lowerBound + place.position))
    }
    if order?.epoch != place.epoch || order?.block != block.number {
      order = (
        place.epoch, block.number,
        SampleOrder(
          count: block.samples.count, seed: plan.seed, source: plan.source, epoch: place.epoch,
          block: block.number)
      )
    }
    let position = order?.order(place.position) ?? place.position
    return (samples, UInt64(block.samples.lowerBound + position))
  }

  // MARK: Samples

  /// Whether a sample is there, with all that it may be exchanged with.
  ///
  /// - Throws: what ended the tokenizing, or what is wrong with the number of samples.
  public func isReady(sample index: UInt64) throws -> Bool {
    try corpus.check()
    if isAwaited.load(ordering: .relaxed), !isFollowing {
      var seen = 0
      _ = follow(&seen)
    }
    let state = lock.withLock { _ in self.state }
    if let failure = state.failure { throw failure }
    if state.isWhole, let check = sizeCheck, let count = state.samples?.sampleCount {
      try check(count)
      sizeCheck = nil
    }
    let isReady = place(Int(index), state) != nil
    if isReady, !hasBegun {
      hasBegun = true
      corpus.giveWay()
    }
    if isAwaited.exchange(!isReady, ordering: .relaxed) == isReady, !isReady { wakeUp.signal() }
    return isReady
  }

  /// How often the documents were gone through before.
  public func epoch(ofSample index: UInt64) -> UInt64 {
    place(Int(index), lock.withLock { _ in state })?.epoch ?? 0
  }

  /// Overwrites `buffer` with a sample that is there.
  public func write(sample index: UInt64, into buffer: SampleBuffer) throws(TokenDataError) {
    let (samples, index) = found(index)
    try samples.write(sample: index, into: buffer)
  }

  /// Counts from the beginnings of the documents.
  public func writeHistory(sample index: UInt64, into history: UnsafeMutableBufferPointer<Int32>) {
    let (samples, index) = found(index)
    samples.writeHistory(sample: index, into: history)
  }

  /// The documents of a sample that is there.
  public func documents(ofSample index: UInt64) -> (file: String, numbers: ClosedRange<Int>)? {
    let (samples, index) = found(index)
    return samples.documents(ofSample: index).map { (corpus.prefix + ".bin", $0.numbers) }
  }

  /// The files of the data set, once it is finished.
  public var files: [MegatronTokens] {
    lock.withLock { _ in state.isWhole ? state.samples?.files ?? [] : [] }
  }
}
