import Fields
import RecallTasks
import Testing

@Suite struct MQARTests {
  @Test func aRowOfAnyLengthIsPreparedAtOnce() throws {
    // A table of all 2^29 slots takes seconds and 4 GB: it waits for the first row, which a plan may never draw.
    let time = try ContinuousClock().measure {
      _ = try MQARTask(
        configuration: .init(), sequenceLength: 1 << 30, seed: 0, stream: .training)
    }
    #expect(time < .seconds(1))
    #expect(MQARTask.Configuration().layout == .zoology)
  }

  @Test func zoologyHoldsPairsThenQueriesAtEvenSlots() throws {
    let task = try source(
      "mqar",
      ["vocab": 20, "pairs": 2, "random_non_queries": false], length: 16)
    for index in 0..<200 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      let inputs = sample.inputs
      let values = [inputs[0]: inputs[1], inputs[2]: inputs[3]]
      #expect(values.count == 2 && Set(values.values).count == 2)
      #expect(values.keys.allSatisfy { (1...9).contains($0) })
      #expect(values.values.allSatisfy { (10...19).contains($0) })
      #expect(sample.counted.count == 2)
      #expect(sample.counted.allSatisfy { $0 >= 4 && $0 % 2 == 0 })
      for position in 4..<16 {
        let isQuery = sample.weights[position] == 1
        #expect(
          isQuery ? values[inputs[position]] == sample.targets[position] : inputs[position] == 0)
      }
    }
  }

  @Test func oneQueryFallsIntoSlotsWithThePowerLaw() throws {
    let task = try source("mqar", ["vocab": 32, "pairs": 1], length: 16)
    var counts = [Int](repeating: 0, count: 7)
    for index in 0..<20_000 as Range<UInt64> {
      counts[(try SampleArrays(task, index).counted[0] - 2) / 2] += 1
    }
    let expected = [0.3828, 0.1927, 0.1290, 0.0970, 0.0778, 0.0649, 0.0558]
    for (count, p) in zip(counts, expected) {
      #expect(abs(Double(count) / 20_000 - p) < 4 * (p * (1 - p) / 20_000).squareRoot())
    }
  }

  /// Two of four slots: the second draw is renormalised, P(a, b) = p_a p_b / (1 - p_a).
  @Test func laterQueriesFollowSuccessiveDrawsWithoutReplacement() throws {
    let task = try source(
      "mqar", ["vocab": 8, "pairs": 2, "random_non_queries": false], length: 12)
    let p = [0.477559, 0.240440, 0.160945, 0.121056]
    var counts = [[Int]](repeating: [Int](repeating: 0, count: 4), count: 4)
    let draws = 20_000
    for index in 0..<UInt64(draws) {
      let inputs = try SampleArrays(task, index).inputs
      let slots = [inputs[0], inputs[2]].map { key in
        (stride(from: 4, to: 12, by: 2).first { inputs[$0] == key } ?? 0) / 2 - 2
      }
      counts[slots[0]][slots[1]] += 1
    }
    for a in 0..<4 {
      for b in 0..<4 where a != b {
        let expected = p[a] * p[b] / (1 - p[a])
        let tolerance = 4.5 * (expected * (1 - expected) / Double(draws)).squareRoot()
        #expect(abs(Double(counts[a][b]) / Double(draws) - expected) < tolerance)
      }
    }
  }

  @Test func everyDistributionOfSlotsFillsAllOfThem() throws {
    // As many pairs as slots: each slot is used once.
    let task = try source("mqar", ["vocab": 200, "pairs": 16], length: 64)
    for index in 0..<50 as Range<UInt64> {
      #expect(try SampleArrays(task, index).counted == Array(stride(from: 32, to: 64, by: 2)))
    }
  }

  @Test func blanksAreReplacedAtRandom() throws {
    let task = try source("mqar", ["vocab": 64, "pairs": 4], length: 64)
    var seen: Set<Int32> = []
    for index in 0..<100 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      seen.formUnion((8..<64).filter { sample.weights[$0] == 0 }.map { sample.inputs[$0] })
    }
    #expect(seen == Set(0..<64))
  }

  @Test func denseRowsAskEveryKeyOnceBeforeAnyTwice() throws {
    let task = try source(
      "mqar",
      [
        "vocab": 177, "pairs": [4, 8], "layout": "dense",
        "keys": 128, "values": 32,
      ], length: 32)
    var lengths: Set<Int> = []
    for index in 0..<200 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      let inputs = sample.inputs
      let pairs = ((sample.counted.first ?? 0) - 1) / 2
      lengths.insert(pairs)
      #expect(inputs[0] == 0)
      var values: [Int32: Int32] = [:]
      for i in 0..<pairs { values[inputs[2 * i + 1]] = inputs[2 * i + 2] }
      #expect(values.count == pairs)
      #expect(values.keys.allSatisfy { (1...128).contains($0) })
      #expect(values.values.allSatisfy { (129...160).contains($0) })
      #expect(sample.counted == Array(stride(from: 2 * pairs + 1, to: 32, by: 2)))
      for position in sample.counted {
        #expect(sample.targets[position] == values[inputs[position]])
        if position < 31 { #expect(inputs[position + 1] == sample.targets[position]) }
      }
      // 32 = 4 * 8: with eight pairs each key is asked exactly once.
      let asked = sample.counted.map { inputs[$0] }
      for round in stride(from: 0, to: asked.count, by: pairs) {
        let keys = asked[round..<min(round + pairs, asked.count)]
        #expect(Set(keys).count == keys.count)
      }
    }
    #expect(lengths == [4, 8])
  }
}

@Suite struct MarkovTests {
  @Test func successorsHaveTheirProbabilities() throws {
    let configuration = MarkovTextTask.Configuration()
    let task = MarkovTextTask(
      configuration: configuration, sequenceLength: 256, seed: 3, stream: .training)
    var expected = [Double](repeating: 0, count: 16)
    var counts = [Double](repeating: 0, count: 16)
    for index in 0..<400 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      #expect(sample.inputs[0] == 0 && sample.weights.allSatisfy { $0 == 1 })
      #expect(sample.targets.allSatisfy { (1...16).contains($0) })
      #expect(Array(sample.inputs[1...]) == Array(sample.targets.dropLast()))
      for t in 2..<256 {
        let context = Int(sample.targets[t - 2] - 1) * 16 + Int(sample.targets[t - 1] - 1)
        for (rank, p) in MarkovTextTask.probabilities.enumerated() {
          expected[Int(task.successors[4 * context + rank])] += p
        }
        counts[Int(sample.targets[t]) - 1] += 1
        let allowed = task.successors[(4 * context)..<(4 * context + 4)]
        #expect(allowed.contains(sample.targets[t] - 1))
      }
    }
    for symbol in 0..<16 {
      #expect(abs(counts[symbol] - expected[symbol]) < 5 * expected[symbol].squareRoot() + 5)
    }
  }

  @Test func theTableDependsOnTheSeedAndIsSharedByBothStreams() throws {
    func table(_ seed: UInt64, _ stream: SampleStream, tableSeed: UInt64? = nil) throws -> [Int32] {
      var configuration = MarkovTextTask.Configuration()
      configuration.tableSeed = tableSeed
      return MarkovTextTask(
        configuration: configuration, sequenceLength: 8, seed: seed, stream: stream
      ).successors
    }
    #expect(try table(1, .training) == table(1, .evaluation))
    #expect(try table(1, .training) != table(2, .training))
    #expect(try table(1, .training, tableSeed: 9) == table(2, .training, tableSeed: 9))
  }
}

@Suite struct CopyingTests {
  @Test(arguments: ["copying", "selective_copying"])
  func contentIsAskedForInOrder(_ name: String) throws {
    let task = try source(name, ["vocab": 16, "tokens": 4], length: 24)
    var places = [Int](repeating: 0, count: 19)
    for index in 0..<2000 as Range<UInt64> {
      let sample = try SampleArrays(task, index)
      let content = sample.inputs[..<19].filter { $0 != 14 }
      #expect(content.count == 4 && content.allSatisfy { (0..<14).contains($0) })
      #expect(sample.inputs[19] == 15)
      #expect(sample.inputs[20...].allSatisfy { $0 == 14 })
      #expect(sample.counted == [20, 21, 22, 23])
      #expect(Array(sample.targets[20...]) == Array(content))
      for place in 0..<19 where sample.inputs[place] != 14 { places[place] += 1 }
    }
    if name == "copying" {
      #expect(places == [2000, 2000, 2000, 2000] + [Int](repeating: 0, count: 15))
    } else {
      #expect(places.allSatisfy { abs($0 - 2000 * 4 / 19) < 100 })
    }
  }
}

@Suite struct DeterminismTests {
  static let tasks: [(String, FieldValue)] = [
    ("mqar", ["pairs": [4, 8], "vocab": 256]),
    ("mqar", ["layout": "dense", "vocab": 256]),
    ("markov", [:]), ("copying", [:]), ("selective_copying", [:]),
  ]

  @Test(arguments: tasks.indices)
  func aSampleDependsOnlyOnItsIndex(_ i: Int) throws {
    let (name, options) = Self.tasks[i]
    let inOrder = try source(name, options, length: 64, seed: 5)
    let forward = try (0..<20).map { try SampleArrays(inOrder, $0) }
    let again = try source(name, options, length: 64, seed: 5)
    let backward = try (0..<20).reversed().map { try SampleArrays(again, $0) }
    #expect(forward == backward.reversed())
    #expect(forward[0] != forward[1])
    #expect(try SampleArrays(source(name, options, length: 64, seed: 6), 0) != forward[0])
    let evaluation = try source(name, options, length: 64, seed: 5, stream: .evaluation)
    #expect(try SampleArrays(evaluation, 0) != forward[0])
  }
}
