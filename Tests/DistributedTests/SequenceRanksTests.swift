import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Sequences shared by ranks: `parallel.sequence_ranks`.
  @Suite("sequence ranks")
  struct SequenceRanksTests {
    struct Case: CustomTestStringConvertible, Sendable {
      let testDescription: String
      let settings: [String]
      var appending = ""
    }

    /// Twelve steps in which a rounding does not grow.
    private static let common = [
      "train.steps=12", "train.sequences_per_step=2", "train.optimizer.lr=1.0e-3",
      "data.sequence_length=72",
    ]

    static let cases = [
      Case(testDescription: "GLA", settings: []),
      Case(testDescription: "GLA, several segments", settings: ["train.segment_length=12"]),
      Case(
        testDescription: "GLA, expanded by head mixing",
        settings: ["train.segment_length=9", "train.micro_batch=2"],
        appending: "expansion: {layers: {every: 2}, heads: 1, init: preserve}\n"),
      Case(testDescription: "Mamba2", settings: [TrainingJob.mamba2]),
      Case(
        testDescription: "Mamba2, several segments",
        settings: [TrainingJob.mamba2, "train.segment_length=12"]),
    ]

    @Test("losses are those of unshared sequences", arguments: cases)
    func losses(_ c: Case) throws {
      let job = try TrainingJob(Self.common + c.settings, appending: c.appending)
      _ = try job.finish(.alone, run: "one")
      let expected = try job.losses("one")
      #expect(expected.count == 12)
      for ranks in [2, 3, 4] {
        let run = "shared\(ranks)"
        _ = try job.finish(.ranks(ranks), run: run, ["parallel.sequence_ranks=\(ranks)"])
        for (step, (loss, reference)) in zip(try job.losses(run), expected).enumerated() {
          #expect(abs(loss - reference) < 1e-6, "\(ranks) ranks, step \(step + 1)")
        }
        #expect(try job.losses(run).count == 12)
        #expect(job.lastRow(run).contains("\"sequence_exchange_seconds\""))
      }
      #expect(!job.lastRow("one").contains("\"sequence_exchange_seconds\""))
    }

    @Test("bits do not depend on groups, threads or a restart", arguments: [false, true])
    func bits(mamba2: Bool) throws {
      let settings = [
        "train.steps=4", "train.sequences_per_step=3", "train.segment_length=12",
        "train.state_passing=0.8", "parallel.sequence_ranks=2", "checkpoint.every=2",
      ]
      let job = try TrainingJob(settings + (mamba2 ? [TrainingJob.mamba2] : []))
      let reference = try job.finish(.ranks(2), run: "one-group")
      #expect(try job.finish(.ranks(2), run: "again") == reference)
      #expect(try job.finish(.ranks(4), run: "two-groups") == reference)
      #expect(try job.finish(.ranks(6), run: "three-groups") == reference)
      let threads = ["parallel.threads_per_rank=2"]
      #expect(try job.finish(.ranks(2), run: "threads", threads) == reference)
      let path = job.output("one-group") + "/checkpoints/step-00000002"
      let resumed = try job.start(.ranks(4), run: "resumed", ["--resume", path]).wait()
      #expect(resumed.code == 0, "\(resumed.stderr)")
      let outcome = try job.outcome("resumed")
      let hasSameWeights = outcome.weights == reference.weights
      #expect(hasSameWeights)
      #expect(outcome.rows == Array(reference.rows.suffix(2)))
    }

    @Test("MPI_Allreduce's own order trains to nearly the same loss")
    func plainSum() throws {
      let job = try TrainingJob(Self.common)
      _ = try job.finish(.alone, run: "one")
      let settings = ["parallel.sequence_ranks=2", "parallel.reproducible=false"]
      _ = try job.finish(.ranks(4), run: "plain", settings)
      #expect(abs(try job.lastLoss("plain") - job.lastLoss("one")) < 1e-5)
    }

    @Test(
      "divisions that do not fit are refused, by the trainer and by the plan",
      arguments: [
        (3, ["parallel.sequence_ranks=2"], "multiple of 2"),
        (1, ["parallel.sequence_ranks=2"], "multiple of 2"),
        (4, ["parallel.sequence_ranks=2", "train.sequences_per_step=1"], "micro-batch"),
        (4, ["parallel.sequence_ranks=4", "data.sequence_length=3"], "data.sequence_length"),
        (2, ["parallel.sequence_ranks=2", "train.segment_length=21"], "data.sequence_length"),
        (2, ["parallel.sequence_ranks=0"], "parallel.sequence_ranks"),
      ] as [(Int, [String], String)])
    func refusals(_ ranks: Int, _ settings: [String], _ says: String) throws {
      let job = try TrainingJob(["data.sequence_length=85"])
      let before = job.files()
      for extra in [[], ["--dry-run"]] {
        let result = try job.start(.ranks(ranks), run: "run", settings + extra).wait()
        #expect(result.code == 64, "\(result.stderr)")
        #expect(result.errorLines.count == 1, "\(result.stderr)")
        #expect(result.errorLines.first?.contains(says) == true, "\(result.errorLines)")
      }
      let plan = try ChildProcess(
        [
          TrainingJob.products + "/statex", "plan", "--config", job.recipePath, "--ranks",
          "\(ranks)", "run.output=" + job.output("run"),
        ] + job.settings + settings, directory: job.directory.path
      ).wait()
      #expect(plan.code == 64, "\(plan.stderr)")
      #expect(plan.errorLines.first?.contains(says) == true, "\(plan.stderr)")
      #expect(job.files() == before)
    }

    @Test("the plan tells what ranks exchange; --debug checks the unshared model")
    func plan() throws {
      let job = try TrainingJob(["parallel.sequence_ranks=2"])
      let plan = try job.start(.ranks(4), run: "run", ["--dry-run"]).wait()
      #expect(plan.code == 0, "\(plan.stderr)")
      #expect(plan.stdout.contains("2 groups of 2"), "\(plan.stdout)")
      #expect(!plan.stdout.contains("of its first state"), "\(plan.stdout)")
      let long = try job.start(
        .ranks(2), run: "run", ["--dry-run", "train.segment_length=8"]
      ).wait()
      #expect(long.stdout.contains("of its first state"), "\(long.stdout)")
      let debug = try job.start(.alone, run: "run", ["--debug"]).wait()
      #expect(debug.code == 0, "\(debug.stdout)\(debug.stderr)")
      #expect(debug.stdout.contains("debug: pass"))
    }
  }
}
