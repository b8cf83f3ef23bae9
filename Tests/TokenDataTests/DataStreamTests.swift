import RecallTasks
import Testing
import TokenData

@Suite struct SampleOrderTests {
  @Test(arguments: [1, 2, 3, 4, 5, 63, 64, 65, 100, 1000, 4097])
  func isABijection(_ count: Int) {
    let order = SampleOrder(count: count, seed: 7, source: 1, epoch: 3)
    #expect((0..<count).map { order($0) }.sorted() == Array(0..<count))
  }

  @Test func differsByEverythingInItsKey() {
    func permutation(_ seed: UInt64, _ source: Int, _ epoch: UInt64) -> [Int] {
      let order = SampleOrder(count: 1000, seed: seed, source: source, epoch: epoch)
      return (0..<1000).map { order($0) }
    }
    let all = [
      permutation(1, 0, 0), permutation(2, 0, 0), permutation(1, 1, 0), permutation(1, 0, 1),
      Array(0..<1000),
    ]
    for i in all.indices {
      for j in 0..<i { #expect(zip(all[i], all[j]).count { $0 == $1 } < 12) }
    }
    #expect(permutation(1, 0, 0) == all[0])
  }

  /// Each position holds each element about equally often over the epochs.
  @Test func looksUniform() {
    var counts = [Int](repeating: 0, count: 25)
    for epoch in 0..<10_000 as Range<UInt64> {
      let order = SampleOrder(count: 5, seed: 1, source: 0, epoch: epoch)
      for position in 0..<5 { counts[5 * position + order(position)] += 1 }
    }
    #expect(counts.allSatisfy { abs($0 - 2000) < 200 })
  }
}

@Suite struct MixtureTests {
  @Test func neverStraysFromTheWeights() throws {
    let weights = [0.7, 0.2, 0.1]
    var mixture = try Mixture(weights: weights.map { $0 * 13 })
    var counts = [0, 0, 0]
    for i in 0..<10_000 {
      let assignment = mixture.assignment(of: UInt64(i))
      #expect(assignment.index == UInt64(counts[assignment.source]))
      counts[assignment.source] += 1
      for (count, weight) in zip(counts, weights) {
        #expect(abs(Double(count) - weight * Double(i + 1)) <= 1.5)
      }
    }
  }

  /// The first samples as Megatron's `build_blending_indices` assigns them, by hand.
  @Test func agreesWithMegatron() throws {
    var mixture = try Mixture(weights: [0.25, 0.75])
    #expect((0..<8).map { mixture.assignment(of: $0).source } == [1, 0, 1, 1, 0, 1, 1, 1])
  }

  @Test func jumpsGiveWhatCountingGives() throws {
    var counting = try Mixture(weights: [3, 1, 2])
    let all = (0..<140_000).map { counting.assignment(of: $0) }
    var jumping = try Mixture(weights: [3, 1, 2])
    for i in [139_999, 0, 65_535, 65_536, 65_537, 131_072, 5, 139_998, 100_000] as [Int] {
      #expect(jumping.assignment(of: UInt64(i)) == all[i])
    }
  }

  /// What the phases mean, said as a loop: every phase counts from 0, sources go on.
  @Test func phasesCountAfreshAndSourcesGoOn() throws {
    let phases: [Mixture.Phase] = [
      .init(firstSample: 0, weights: [3, 1]), .init(firstSample: 70_001, weights: [1, 1, 2]),
      .init(firstSample: 70_010, weights: [5, 1, 1]),
    ]
    var taken: [UInt64] = [0, 0, 0]
    var expected: [Mixture.Assignment] = []
    for (phase, end) in zip(phases, [70_001, 70_010, 70_400] as [UInt64]) {
      var alone = try Mixture(weights: phase.weights)
      for sample in phase.firstSample..<end {
        let source = alone.assignment(of: sample - phase.firstSample).source
        expected.append(.init(source: source, index: taken[source]))
        taken[source] += 1
      }
    }
    var mixture = try Mixture(phases: phases)
    for sample in [70_399, 3, 70_005, 70_001, 70_000, 70_010, 70_009, 66_000, 70_200] {
      #expect(mixture.assignment(of: UInt64(sample)) == expected[sample], "sample \(sample)")
    }
    #expect((0..<70_400).allSatisfy { mixture.assignment(of: UInt64($0)) == expected[$0] })
  }

  @Test func aSourceThatIsAddedChangesNoSampleBeforeIt() throws {
    var one = try Mixture(weights: [1])
    var two = try Mixture(phases: [
      .init(firstSample: 0, weights: [1]), .init(firstSample: 40, weights: [1, 1]),
    ])
    for sample in 0..<40 as Range<UInt64> {
      #expect(two.assignment(of: sample) == one.assignment(of: sample))
    }
    #expect(
      (40..<44).map { two.assignment(of: $0) } == [
        .init(source: 0, index: 40), .init(source: 1, index: 0), .init(source: 0, index: 41),
        .init(source: 1, index: 1),
      ])
  }

  @Test func phasesThatDoNotFollowAreRefused() {
    let first = Mixture.Phase(firstSample: 0, weights: [1, 1])
    for phases in [
      [], [.init(firstSample: 1, weights: [1])], [first, .init(firstSample: 0, weights: [1, 1])],
      [first, .init(firstSample: 5, weights: [1])],
      [first, .init(firstSample: 5, weights: [1, 1, 0])],
    ] as [[Mixture.Phase]] {
      #expect(throws: TokenDataError.self) { try Mixture(phases: phases) }
    }
  }

  @Test func badWeightsAreRefused() {
    for weights in [[], [0], [1, -1], [.nan], [.infinity]] as [[Double]] {
      #expect(throws: TokenDataError.self) { try Mixture(weights: weights) }
    }
  }
}

@Suite struct DataStreamTests {
  private func stream(
    _ sources: [DataStream.Source], seed: UInt64 = 1
  ) throws -> (UInt64) throws -> [Int32] {
    let stream = try DataStream(sources: sources, seed: seed, sequenceLength: 2)
    let batch = SampleBatch(sampleCount: 1, sequenceLength: 2)
    return { index in
      try stream.write(globalSample: index, into: batch[0])
      return Array(batch.inputs)
    }
  }

  @Test func filesGoInOrderWithoutShuffle() throws {
    let sample = try stream([.init(LabelledSource(4, sampleCount: 3), shuffle: false)])
    let indices = try (0..<7).map { try sample($0)[1] }
    #expect(indices == [0, 1, 2, 0, 1, 2, 0])
  }

  @Test func everyEpochSeesEverySampleOnceInANewOrder() throws {
    let sample = try stream([.init(LabelledSource(4, sampleCount: 50))])
    let indices = try (0..<150).map { try sample($0)[1] }
    let epochs = [0, 50, 100].map { Array(indices[$0..<($0 + 50)]) }
    for epoch in epochs { #expect(epoch.sorted() == Array(0..<50)) }
    #expect(Set(epochs).count == 3 && epochs[0] != Array(0..<50))
  }

  @Test func endlessSourcesCountOnAndAMixtureTakesTheirTurns() throws {
    let sources: [DataStream.Source] = [
      .init(LabelledSource(0, sampleCount: 2), weight: 3, shuffle: false),
      .init(LabelledSource(1, sampleCount: nil), weight: 1),
    ]
    let sample = try stream(sources)
    let samples = try (0..<16).map { try sample($0) }
    #expect(samples.filter { $0[0] == 1 }.map { $0[1] } == [0, 1, 2, 3])
    #expect(samples.filter { $0[0] == 0 }.map { $0[1] } == (0..<12).map { $0 % 2 })
    // Any rank may ask for any samples in any order.
    let other = try stream(sources)
    for i in (0..<16).reversed() { #expect(try other(UInt64(i)) == samples[i]) }
  }

  @Test func realTasksMix() throws {
    let tasks = try ["mqar", "markov"].map { name in
      try RecallTaskConfiguration(name: name, options: [:]).makeSource(
        sequenceLength: 64, seed: 1, stream: .training)
    }
    let stream = try DataStream(
      sources: [.init(tasks[0], weight: 3), .init(tasks[1])], seed: 1, sequenceLength: 64)
    #expect(stream.requiredVocabulary == 8192)
    let batch = SampleBatch(sampleCount: 8, sequenceLength: 64)
    for i in 0..<8 { try stream.write(globalSample: UInt64(i), into: batch[i]) }
    let counted = (0..<8).map { i in batch[i].weights.count { $0 == 1 } }
    #expect(counted.sorted() == [4, 4, 4, 4, 4, 4, 64, 64])
    #expect((0..<8).map { stream.source(ofGlobalSample: $0) } == counted.map { $0 == 64 ? 1 : 0 })
  }

  /// Samples of 4 and of 64 targets that count.
  @Test func aSampleCountsAsAWholeRowOnRequest() throws {
    func weights(_ loss: SourceLoss) throws -> [[Float]] {
      let tasks = try ["mqar", "markov"].map { name in
        try RecallTaskConfiguration(name: name, options: [:]).makeSource(
          sequenceLength: 64, seed: 1, stream: .training)
      }
      let stream = try DataStream(
        sources: tasks.map { .init($0, loss: loss) }, seed: 1, sequenceLength: 64)
      let batch = SampleBatch(sampleCount: 1, sequenceLength: 64)
      return try (0..<2).map { sample in
        try stream.write(globalSample: UInt64(sample), into: batch[0])
        return batch.weights.filter { $0 != 0 }
      }
    }
    let (four, all) = ([Float](repeating: 1, count: 4), [Float](repeating: 1, count: 64))
    #expect(try weights(SourceLoss()) == [four, all])
    #expect(try weights(SourceLoss(.sample)) == [four.map { 16 * $0 }, all])
    #expect(
      try weights(SourceLoss(.sample, factor: 0.25)) == [four.map { 4 * $0 }, all.map { $0 / 4 }])
    #expect(try weights(SourceLoss(factor: 0.5)) == [four.map { $0 / 2 }, all.map { $0 / 2 }])
  }
}
