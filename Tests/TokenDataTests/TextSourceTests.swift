import Foundation
import Testing
import TokenData

/// Text that is tokenized while its samples are used.
@Suite struct TextSourceTests {
  private let length = 64

  /// Two files, the second of which is published in parts; no two samples of their tokens are equal.
  private func text(lines: Int = 60_000) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    func file(_ name: String, _ numbers: Range<Int>) throws {
      let lines = numbers.map { number in
        "{\"text\": \"" + (0..<9).map { "\(number)-\($0)" }.joined(separator: " ") + "\"}\n"
      }
      try directory.write(lines.joined().utf8, to: name)
    }
    try file("a.jsonl", 0..<(lines / 4))
    try file("b.jsonl", (lines / 4)..<(lines / 4 + lines))
    return directory
  }

  private func corpus(
    _ directory: TemporaryDirectory, _ reading: TextReading = TextReading()
  ) throws -> TextCorpus {
    try TextCorpus(
      [directory.file("*.jsonl")], tokenizer: ByteTokenizer(), reading: reading,
      directory: directory.file("made"))
  }

  private func plan(_ change: (inout TextSource.Plan) -> Void = { _ in }) -> TextSource.Plan {
    var plan = TextSource.Plan(sequenceLength: length)
    (plan.seed, plan.source, plan.firstBlock) = (7, 2, 1000 * length)
    change(&plan)
    return plan
  }

  private func sample(_ source: any SampleSource, _ number: Int) throws -> [Int32] {
    let batch = SampleBatch(sampleCount: 1, sequenceLength: length)
    try source.write(sample: UInt64(number), into: batch[0])
    return Array(batch[0].inputs)
  }

  /// Waits for a sample, at most a minute.
  private func wait(for number: Int, _ source: TextSource) throws {
    let end = ContinuousClock.now + .seconds(60)
    while try !source.isReady(sample: UInt64(number)) {
      try #require(ContinuousClock.now < end, "sample \(number) does not come")
      usleep(5000)
    }
  }

  /// Tokenizes everything and stops the thread.
  private func finish(_ corpus: TextCorpus) throws {
    try corpus.startTokenizing()
    defer { corpus.stopTokenizing() }
    let end = ContinuousClock.now + .seconds(60)
    while try !corpus.isWhole() {
      try #require(ContinuousClock.now < end, "the text is not tokenized")
      usleep(5000)
    }
  }

  /// Where each sample of the finished files starts, by its tokens.
  private func windows(_ tokens: MegatronTokens) throws -> [[Int32]: Int] {
    let samples = (tokens.tokenCount - 1) / length
    var found: [[Int32]: Int] = [:]
    for index in 0..<samples {
      found[try tokens.array(from: index * length, count: length)] = index
    }
    #expect(found.count == samples, "equal samples")
    return found
  }

  @Test func blocksAreAsLargeAsAllBefore() {
    let blocks = GrowingBlocks(firstTokens: 30, sequenceLength: 10)
    let ranges = [0..<3, 3..<6, 6..<12, 12..<24, 24..<48]
    for (number, range) in ranges.enumerated() {
      for sample in range {
        #expect(blocks.block(of: sample) == .init(number: number, samples: range))
      }
    }
    #expect(GrowingBlocks(firstTokens: 3, sequenceLength: 10).first == 1)
  }

  @Test func samplesAreTheSameBeforeAndAfterAllIsTokenized() throws {
    let directory = try text()
    let follower = try corpus(directory)
    // An interrupted run: some of the second file is published, and none of that is safe.
    var work = TextTokenizer(tokenizer: ByteTokenizer(), outputPrefix: follower.prefix)
    try FileManager.default.createDirectory(
      atPath: directory.file("made"), withIntermediateDirectories: true)
    var pieces = 0
    work.publishes = true
    work.isStopping = {
      pieces += 1
      return pieces > 5
    }
    let inputs = try TextInput.resolve([directory.file("*.jsonl")])
    #expect(throws: TokenDataError.interrupted) { try work.run(inputs) }

    let source = try TextSource(follower, plan())
    #expect(try !source.isReady(sample: 0), "nobody has looked yet")
    source.startFollowing()
    defer { source.stopFollowing() }
    try wait(for: 0, source)
    let ready = try (0..<100_000).prefix { try source.isReady(sample: UInt64($0)) }.count
    #expect(
      [1000, 2000, 4000, 8000, 16000, 32000, 64000].contains(ready), "\(ready): no whole blocks")
    let early = try (0..<ready).map { try sample(source, $0) }
    #expect(try !source.isReady(sample: 100_000))
    #expect(source.epochSampleCount == nil)

    try finish(corpus(directory))
    try wait(for: 100_000, source)
    let tokens = try #require(try follower.tokens())
    let windows = try windows(tokens)
    #expect(source.epochSampleCount == windows.count)
    let late = try TextSource(corpus(directory), plan())
    let first = try (0..<windows.count).map { try sample(late, $0) }
    #expect(Array(first.prefix(early.count)) == early)
    #expect(try first == (0..<windows.count).map { try sample(source, $0) })
    var block = 0..<1000
    while block.lowerBound < windows.count {
      let range = block.clamped(to: 0..<windows.count)
      let found = try range.map { try #require(windows[first[$0]]) }
      #expect(found.sorted() == Array(range) && found != Array(range), "block \(block)")
      block = block.upperBound..<(2 * block.upperBound)
    }
    let second = try (windows.count..<(2 * windows.count)).map { number in
      #expect(source.epoch(ofSample: UInt64(number)) == 1)
      return try #require(windows[sample(source, number)])
    }
    #expect(second.sorted() == Array(0..<windows.count))
    #expect(second.prefix(1000).contains { $0 > 4000 }, "later epochs have no blocks")
  }

  /// What fits into the first block comes in the order of the same tokens in a file.
  @Test(arguments: [true, false])
  func aTextOfOneBlockIsOrderedAsItsTokensAre(_ shuffle: Bool) throws {
    let directory = try text(lines: 500)
    let corpus = try corpus(directory)
    try finish(corpus)
    let plan = plan {
      $0.firstBlock = 1 << 22
      $0.shuffle = shuffle
    }
    let text = try TextSource(corpus, plan)
    let files = try TokenFileSource(
      [#require(try corpus.tokens())], sequenceLength: length, vocabularySize: 257)
    let other = LabelledSources.endless(length)
    func stream(_ source: any SampleSource) throws -> DataStream {
      let last = DataStream.Source(source, shuffle: shuffle)
      return try DataStream(
        sources: [.init(other), .init(other), last], seed: 7, sequenceLength: length)
    }
    let (ours, theirs) = (try stream(text), try stream(files))
    let count = UInt64(3 * 2 * (files.sampleCount ?? 0) + 9)
    let (a, b) = (
      SampleBatch(sampleCount: 1, sequenceLength: length),
      SampleBatch(sampleCount: 1, sequenceLength: length)
    )
    for number in 0..<count where ours.source(ofGlobalSample: number) == 2 {
      try ours.write(globalSample: number, into: a[0])
      try theirs.write(globalSample: number, into: b[0])
      #expect(Array(a[0].inputs) == Array(b[0].inputs))
      #expect(Array(a[0].targets) == Array(b[0].targets))
      #expect(ours.epoch(ofGlobalSample: number) == theirs.epoch(ofGlobalSample: number))
    }
  }

  @Test func heldOutDocumentsAreThoseOfTheFinishedTokens() throws {
    let directory = try text(lines: 2000)
    let corpus = try corpus(directory)
    try finish(corpus)
    let selection = TokenSelection([corpus.prefix], part: .training(heldOut: 0.3))
    let files = try TokenFileSource(
      selection.open(), sequenceLength: length, vocabularySize: 257)
    let source = try TextSource(
      corpus,
      plan {
        $0.part = .training(heldOut: 0.3)
        $0.shuffle = false
      })
    #expect(source.epochSampleCount == files.sampleCount)
    for number in 0..<(files.sampleCount ?? 0) {
      #expect(try sample(source, number) == sample(files, number))
    }
    #expect(
      source.documents(ofSample: 5)?.numbers == files.documents(ofSample: 5)?.numbers)
  }

  @Test func whatEndsTheTokenizingEndsTheSamples() throws {
    let directory = try text(lines: 100)
    try directory.write("{\"text\": \"x\"}\nnonsense\n".utf8, to: "c.jsonl")
    let bad = try corpus(directory)
    let source = try TextSource(bad, plan())
    try bad.startTokenizing()
    source.startFollowing()
    defer { source.stopFollowing() }
    let error = #expect(throws: TokenDataError.self) { try wait(for: 0, source) }
    #expect(error?.description.contains("c.jsonl: line 2, column 1:") == true)
    bad.stopTokenizing()
    var reading = TextReading()
    reading.badInput = .skip
    let mended = try corpus(directory, reading)
    #expect(mended.prefix != bad.prefix)
    try finish(mended)
    #expect(try mended.tokens()?.documentCount == 126)
  }

  @Test func whatDecidesTheTokensNamesThem() throws {
    let directory = try text(lines: 10)
    let before = try corpus(directory).name
    #expect(try corpus(directory).name == before)
    try directory.write("{\"text\": \"line 9\"}\n".utf8, to: "b.jsonl")
    #expect(try corpus(directory).name != before)
    let pipe = directory.file("c.jsonl")
    #expect(mkfifo(pipe, 0o600) == 0)
    let error = #expect(throws: TokenDataError.self) { try corpus(directory) }
    #expect(error?.description.contains("can be read only once") == true)
  }

  @Test func theCountIsCheckedAsSoonAsItIsKnown() throws {
    let directory = try text(lines: 100)
    let corpus = try corpus(directory)
    let source = try TextSource(corpus, plan())
    var counted: [Int] = []
    try source.whenCounted { counted.append($0) }
    #expect(counted.isEmpty)
    try finish(corpus)
    source.startFollowing()
    defer { source.stopFollowing() }
    try wait(for: 0, source)
    #expect(counted == [source.epochSampleCount].compactMap { $0 } && counted.count == 1)
    try source.whenCounted { counted.append($0) }
    #expect(counted.count == 2)
  }
}

/// Sources that stand beside the one looked at.
enum LabelledSources {
  private final class Endless: SampleSource {
    let sequenceLength: Int
    let sampleCount: Int? = nil
    let requiredVocabulary = 1

    init(_ length: Int) { sequenceLength = length }

    func write(sample index: UInt64, into buffer: SampleBuffer) {}
  }

  /// One that writes nothing.
  static func endless(_ length: Int) -> any SampleSource { Endless(length) }
}
