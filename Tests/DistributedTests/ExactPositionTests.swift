import ChildPrograms
import Foundation
import Testing
import TokenData

extension DistributedTests {
  /// Which documents a run consumes, whatever happens to it.
  @Suite("exact position")
  struct ExactPositionTests {
    private static let sequenceLength = 16
    /// Samples of an epoch: no multiple of a step's six, so that steps reach over the ends of epochs.
    private static let samplesPerEpoch = 75
    private static let tokenCount = samplesPerEpoch * sequenceLength + 1
    private static let steps = 42
    private static let kills = 10

    /// A job on documents of 3 to 40 tokens, no token of which occurs twice.
    private func job() throws -> (job: TrainingJob, documents: [Range<Int32>]) {
      let job = try TrainingJob([
        "model.config.vocab_size=\(Self.tokenCount)", "data.sequence_length=\(Self.sequenceLength)",
        "train.segment_length=\(Self.sequenceLength)", "train.steps=\(Self.steps)",
        "train.sequences_per_step=6", "checkpoint.every=2", "data.shuffle=true",
      ])
      let prefix = job.directory.path + "/text"
      let writer = try MegatronWriter(prefix: prefix, vocabularySize: Self.tokenCount)
      var documents: [Range<Int32>] = []
      while (documents.last?.upperBound ?? 0) < Self.tokenCount {
        let start = documents.last?.upperBound ?? 0
        let length = Int32(3 + documents.count * 29 % 38)
        documents.append(start..<min(start + length, Int32(Self.tokenCount)))
      }
      for document in documents { try writer.append(Array(document)) }
      try writer.finish()
      job.settings.append("data.sources=[{tokens: \(prefix)}]")
      return (job, documents)
    }

    @Test("ten ranks die, one after the other, and every document is used exactly once an epoch")
    func everyDocumentOnceAnEpoch() throws {
      let (job, documents) = try job()
      let launches: [TrainingJob.Launch] = [.ranks(2), .ranks(3), .alone, .ranks(4), .ranks(6)]
      let ranks = [1, 2, 0, 3, 5]
      var samples: [Int: [Int32]] = [:]
      var readTwice = 0
      for attempt in 0...Self.kills {
        let isLast = attempt == Self.kills
        let launch = launches[attempt % launches.count]
        let (code, read) = try job.record(
          launch, "attempt-\(attempt)", killing: isLast ? -1 : ranks[attempt % ranks.count],
          at: 21 * (attempt + 1))
        #expect((code == 0) == isLast, "attempt \(attempt) ended with \(code)")
        var own: Set<Int> = []
        for (number, tokens) in read {
          #expect(own.insert(number).inserted, "attempt \(attempt) read sample \(number) twice")
          if let before = samples[number] {
            readTwice += 1
            #expect(before == tokens, "sample \(number) was another before attempt \(attempt)")
          }
          samples[number] = tokens
        }
        let reached = try #require(own.max())
        #expect(isLast || reached >= 21 * (attempt + 1), "attempt \(attempt) ended at \(reached)")
      }
      // A kill throws the steps since the last checkpoint away; they are taken again.
      #expect(readTwice > Self.kills)
      #expect(samples.keys.sorted() == Array(0..<(6 * Self.steps)))
      try expectWholeEpochs(samples, documents)
    }

    /// Every token stands in exactly one sample of an epoch, as input and, but for the first, as target.
    private func expectWholeEpochs(
      _ samples: [Int: [Int32]], _ documents: [Range<Int32>]
    ) throws {
      let epochs = 6 * Self.steps / Self.samplesPerEpoch
      #expect(epochs == 3)
      var orders: Set<[Int32]> = []
      for epoch in 0..<epochs {
        let first = epoch * Self.samplesPerEpoch
        let read = try (first..<(first + Self.samplesPerEpoch)).map { try #require(samples[$0]) }
        let inputs = read.flatMap { $0.dropLast() }
        let targets = read.flatMap { $0.dropFirst() }
        #expect(inputs.sorted() == Array(0..<Int32(Self.tokenCount - 1)), "epoch \(epoch)")
        for document in documents {
          let counted = targets.filter(document.contains).sorted()
          #expect(counted == Array(document).filter { $0 > 0 }, "epoch \(epoch): \(document)")
        }
        orders.insert(read.map { $0[0] })
      }
      #expect(orders.count == epochs, "two epochs have the same order")
      #expect(orders.allSatisfy { $0 != $0.sorted() })
    }
  }
}
