import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// The same bits on any number of ranks and threads.
  @Suite("reproducibility")
  struct ReproducibilityTests {
    struct Case: CustomTestStringConvertible, Sendable {
      let testDescription: String
      let settings: [String]
      var appending = ""
      let launches: [TrainingJob.Launch]
    }

    static let cases = [
      Case(
        testDescription: "eight micro-batches", settings: [],
        launches: [.alone, .ranks(1), .ranks(2), .ranks(3), .ranks(4), .ranks(8)]),
      Case(
        testDescription: "two sequences a micro-batch", settings: ["train.micro_batch=2"],
        launches: [.alone, .ranks(2), .ranks(3), .ranks(4)]),
      Case(
        testDescription: "six micro-batches, unevenly shared",
        settings: ["train.sequences_per_step=6"], launches: [.alone, .ranks(4), .ranks(5)]),
      Case(
        testDescription: "segments", settings: ["train.segment_length=24", "train.steps=4"],
        launches: [.alone, .ranks(3), .ranks(4)]),
      Case(
        testDescription: "states carried, thinned on two ranks; two sequences a micro-batch",
        settings: [
          "train.state_passing=0.7", "train.micro_batch=2", "train.segment_length=8",
          "train.memory_budget=835kB",
        ], launches: [.alone, .ranks(2), .ranks(4)]),
      Case(
        testDescription: "states carried, documents told apart, gradients truncated",
        settings: [
          TrainingJob.mamba2, "train.state_passing=0.7", "data.reset_state_at_documents=true",
          "train.segment_length=24", "train.truncated_backpropagation=true",
        ], launches: [.alone, .ranks(3)]),
      Case(
        testDescription: "expansion", settings: [],
        appending: "expansion: {layers: {every: 2}, heads: 1}\n",
        launches: [.alone, .ranks(2), .ranks(3)]),
      Case(
        testDescription: "Mamba2, expanded, in segments",
        settings: [TrainingJob.mamba2, "train.segment_length=24", "train.steps=4"],
        appending: "expansion: {layers: {every: 2}, state_factor: 2}\n",
        launches: [.alone, .ranks(3)]),
    ]

    @Test("loss, gradient norm and weights do not depend on the ranks", arguments: cases)
    func ranks(_ c: Case) throws {
      let job = try TrainingJob(c.settings, appending: c.appending)
      let reference = try job.finish(c.launches[0], run: "first")
      #expect(reference.rows.count == (c.settings.contains("train.steps=4") ? 4 : 6))
      for (index, launch) in c.launches.enumerated().dropFirst() {
        let outcome = try job.finish(launch, run: "run\(index)")
        #expect(outcome == reference, "\(launch)")
      }
    }

    @Test("loss, gradient norm and weights do not depend on the threads")
    func threads() throws {
      let job = try TrainingJob(["train.segment_length=48", "train.sequences_per_step=4"])
      let reference = try job.finish(.alone, run: "one")
      for (run, launch, threads) in [("two", TrainingJob.Launch.alone, 2), ("more", .ranks(2), 3)] {
        let outcome = try job.finish(launch, run: run, ["parallel.threads_per_rank=\(threads)"])
        #expect(outcome == reference, "\(launch), \(threads) threads")
      }
    }

    @Test("a mixture of a token file and two tasks does not depend on the ranks")
    func mixture() throws {
      let job = try TrainingJob([
        "train.steps=3", "train.sequences_per_step=6", "model.config.vocab_size=257",
        "data.sequence_length=512", "train.segment_length=512",
      ])
      let prefix = try job.writeTokens("text", count: 9000, vocabulary: 256) { _ in nil }
      let recipe = TrainingJob.recipe.replacingOccurrences(
        of: "    - {task: mqar, pairs: 4, vocab: 64}\n",
        with: """
              - {tokens: \(prefix), weight: 0.5}
              - {task: mqar, pairs: 4, vocab: 64, weight: 0.25}
              - {task: passkey, tokenizer: byte, weight: 0.25}

          """)
      #expect(recipe.contains("passkey"))
      try job.write(recipe, to: "recipe.yaml")
      let reference = try job.finish(.alone, run: "first")
      let sources = try job.sourceNumbers("first")
      for (run, launch) in [("second", TrainingJob.Launch.ranks(3)), ("third", .ranks(4))] {
        #expect(try job.finish(launch, run: run) == reference)
        #expect(try job.sourceNumbers(run) == sources)
      }
      _ = try job.finish(.alone, run: "threads", ["parallel.threads_per_rank=2"])
      #expect(try job.sourceNumbers("threads") == sources)
      _ = try job.finish(.ranks(2), run: "shared", ["parallel.sequence_ranks=2"])
      _ = try job.finish(.ranks(6), run: "groups", ["parallel.sequence_ranks=2"])
      #expect(try job.sourceNumbers("groups") == job.sourceNumbers("shared"))
      try checkShares(sources, losses: job.losses("first"), tolerance: 1e-12)
      try checkShares(
        try job.sourceNumbers("shared"), losses: job.losses("shared"), tolerance: 1e-12)
    }

    /// A mixture's loss is the mean of its sources' losses, weighted as the recipe says.
    private func checkShares(
      _ rows: [[String: Double]], losses: [Double], tolerance: Double
    ) throws {
      let names = ["text", "mqar", "passkey"]
      for (row, loss) in zip(rows, losses) {
        let sum = names.reduce(0) { $0 + (row["loss_share." + $1] ?? 0) * (row["loss." + $1] ?? 0) }
        #expect(abs(sum - loss) < tolerance * loss)
        // Text has a weight for each of its 512 targets, and so has each sample of a task.
        let shares = names.map { row["loss_share." + $0] ?? 0 }
        for (share, samples) in zip(shares, [3.0, 1.5, 1.5]) {
          #expect(abs(share * 6 - samples) < 0.51, "\(row)")
        }
        #expect(try #require(row["target_share.text"]) > 0.95)
        #expect(abs(names.reduce(0) { $0 + (row["target_share." + $1] ?? 0) } - 1) < 1e-12)
      }
      #expect(rows.count == 3)
    }

    @Test("the seed, and nothing else, draws another model and other data")
    func seed() throws {
      let job = try TrainingJob(["train.steps=2"])
      let reference = try job.finish(.alone, run: "first")
      #expect(try job.finish(.alone, run: "again") == reference)
      let other = try job.finish(.alone, run: "other", ["run.seed=4"])
      #expect(other.rows != reference.rows && other.weights != reference.weights)
    }

    @Test("MPI_Allreduce's own order trains to nearly the same loss")
    func plainSum() throws {
      let job = try TrainingJob()
      _ = try job.finish(.alone, run: "tree")
      let expected = try job.lastLoss("tree")
      for count in [1, 3] {
        _ = try job.finish(.ranks(count), run: "plain\(count)", ["parallel.reproducible=false"])
        #expect(abs(try job.lastLoss("plain\(count)") - expected) < 1e-3 * expected)
      }
    }
  }
}
