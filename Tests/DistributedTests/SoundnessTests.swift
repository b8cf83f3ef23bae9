import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Runs in which numbers go wrong.
  @Suite("wrong numbers")
  struct SoundnessTests {
    /// A run in which a bit flips in a rank's memory after step 4.
    private func damaged(
      _ job: TrainingJob, _ kind: String, rank: Int, ranks: Int, _ settings: [String]
    ) throws -> ChildProcess.Result {
      let command = TrainingJob.Launch.ranks(ranks).command(
        [
          TrainingJob.products + "/training-probe", "damaged", kind, "\(rank)", "4", job.recipePath,
          "run.output=" + job.output("run"),
        ] + job.settings + settings)
      return try ChildProcess(command, directory: job.directory.path).wait(limit: 60)
    }

    /// What is damaged under which settings, and in which step it is found.
    static let damages: [(kind: String, settings: [String], found: Int)] = [
      ("weight", ["checkpoint.every=0", "parallel.verify_every=3"], 6),
      ("moment", ["checkpoint.every=2", "parallel.verify_every=0"], 4),
      ("weight", ["checkpoint.every=2", "parallel.verify_every=0"], 4),
      ("weight", ["checkpoint.every=0", "parallel.optimizer_sharding=zero1"], 5),
      (
        "weight",
        [
          "checkpoint.every=2", "parallel.verify_every=0", "parallel.optimizer_sharding=zero1",
        ], 4
      ),
    ]

    @Test("a flipped bit stops the run, is named and is never saved", arguments: damages)
    func flippedBit(_ damage: (kind: String, settings: [String], found: Int)) throws {
      let job = try TrainingJob(["train.steps=9", "checkpoint.keep=9"])
      let whole = try job.finish(.alone, run: "whole")
      let result = try damaged(job, damage.kind, rank: 2, ranks: 3, damage.settings)
      #expect(result.code == 70 && result.errorLines.count == 1, "\(result.stderr)")
      let line = try #require(result.errorLines.first)
      let store = damage.kind == "weight" ? "parameters" : "exp_avg"
      #expect(line.contains("error: step \(damage.found): \(store)/"), "\(line)")
      #expect(line.contains(" on rank 2 ("), "\(line)")
      let saved = (try? job.checkpoints("run")) ?? []
      // That of step 2 may not have been committed yet.
      #expect(saved.allSatisfy { $0 == "step-00000002" }, "\(saved)")
      #expect(try job.finish(.ranks(2), run: "run", damage.settings) == whole)
    }

    @Test("two ranks: that they differ, and where they run")
    func twoRanks() throws {
      let job = try TrainingJob()
      let result = try damaged(
        job, "weight", rank: 0, ranks: 2, ["checkpoint.every=0", "parallel.verify_every=1"])
      #expect(result.code == 70, "\(result.stderr)")
      #expect(result.stderr.contains(" differs between ranks 0 ("), "\(result.stderr)")
    }
  }
}
