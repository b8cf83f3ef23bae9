import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// What the trainer does inside a step.
  @Suite("inside a step")
  struct ProbeTests {
    struct Case: CustomTestStringConvertible, Sendable {
      let testDescription: String
      let settings: [String]
    }

    static let cases = [
      Case(testDescription: "recall task", settings: []),
      Case(testDescription: "two threads", settings: ["parallel.threads_per_rank=2"]),
      Case(testDescription: "segments", settings: ["train.segment_length=24"]),
      Case(
        testDescription: "feature map, groups, clamp, micro-batches of two",
        settings: [
          "model.config.feature_map=gelu", "model.config.num_kv_heads=2",
          "model.config.clamp_min=-0.1", "train.micro_batch=2", "parallel.threads_per_rank=2",
        ]),
      Case(
        testDescription: "Mamba2 in segments on two threads",
        settings: [TrainingJob.mamba2, "train.segment_length=40", "parallel.threads_per_rank=2"]),
      Case(
        testDescription: "bf16 products on two threads",
        settings: ["train.precision=bf16", "parallel.threads_per_rank=2"]),
      Case(
        testDescription: "bf16 products of Mamba2",
        settings: [TrainingJob.mamba2, "train.precision=bf16"]),
      Case(testDescription: "MPI_Allreduce", settings: ["parallel.reproducible=false"]),
      Case(
        testDescription: "sharded moments in bf16",
        settings: ["parallel.optimizer_sharding=zero1", "train.optimizer.moments=bf16"]),
      Case(
        testDescription: "frozen layers, in segments",
        settings: [
          "expansion={layers: [1], heads: 1}", "train.trainable=expanded",
          "train.segment_length=24", "train.optimizer.moments=bf16",
        ]),
    ]

    /// Allocations that the probe counts in five warm steps.
    private func allocations(
      _ job: TrainingJob, _ arguments: [String], of what: String = "allocations"
    ) throws -> Int {
      let probe = try ChildProcess(
        [
          TrainingJob.products + "/training-probe", what, job.recipePath,
          "train.steps=8", "run.output=" + job.output("unused"),
        ] + arguments,
        directory: job.directory.path
      ).wait()
      #expect(probe.code == 0, "\(probe.stderr)")
      let count = try #require(
        probe.stdout.split(separator: " ").last.flatMap {
          Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
        }, "\(probe.stdout)")
      if count > 1 { Issue.record("\(count) allocations:\n\(probe.stderr)") }
      return count
    }

    @Test("a warm step allocates nothing outside the libraries of products", arguments: cases)
    func allocations(_ c: Case) throws {
      let job = try TrainingJob()
      #expect(try allocations(job, c.settings) == 0)
    }

    @Test("a warm step on a token file allocates nothing, over epochs and in a mixture")
    func tokenFile() throws {
      let job = try TrainingJob()
      // 30 samples: the eight steps of eight go through them twice.
      let prefix = try job.writeTokens("text", count: 30 * 64 + 1, vocabulary: 64) { _ in nil }
      #expect(try allocations(job, ["data.sources.0={tokens: \(prefix)}"]) == 0)
      let tokens = "{tokens: \(prefix), weight: 0.6}"
      let task = "{task: mqar, pairs: [2, 4], vocab: 64, weight: 0.4, layout: dense}"
      #expect(try allocations(job, ["data.sources=[\(tokens), \(task)]"]) == 0)
    }

    @Test("a part of shared sequences allocates nothing once it is warm", arguments: [false, true])
    func sharedSequences(mamba2: Bool) throws {
      let settings = ["train.segment_length=12"] + (mamba2 ? [TrainingJob.mamba2] : [])
      #expect(try allocations(TrainingJob(), settings, of: "shared-allocations") == 0)
    }

    @Test("an allocation is counted")
    func countsOne() throws {
      #expect(try allocations(TrainingJob(), ["--add-one"]) == 1)
    }

    @Test(
      "long gradients, exchanged in several buckets, are summed along the tree",
      arguments: [(1, 3), (2, 3), (3, 7), (4, 4)],
      [[], ["overlap"], ["sharded"], ["overlap", "sharded"], ["plain", "sharded"]])
    func reduction(_ job: (ranks: Int, leaves: Int), _ options: [String]) throws {
      let (ranks, leaves) = job
      let directory = try TemporaryDirectory()
      let probe =
        [
          TrainingJob.products + "/training-probe", "reduction", "\(1 << 22 + 12_345)",
          "\(leaves)",
        ] + options
      let result = try ChildProcess(
        TrainingJob.Launch.ranks(ranks).command(probe), directory: directory.path
      ).wait()
      #expect(result.code == 0 && result.stdout == "reduction: pass\n", "\(result.stderr)")
    }
  }
}
