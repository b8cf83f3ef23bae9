import ChildPrograms
import Foundation
import Testing
import TokenData

extension DistributedTests {
  /// What a run goes on with, and what it refuses to go on with.
  @Suite("identity of a run")
  struct RunIdentityTests {
    /// Copies a token pair.
    private func copy(_ prefix: String, to other: String) throws {
      for suffix in [".bin", ".idx"] {
        try FileManager.default.copyItem(atPath: prefix + suffix, toPath: other + suffix)
      }
    }

    @Test("the same token files elsewhere, or under another spelling, resume with the same bits")
    func movedData() throws {
      let job = try TrainingJob(["train.steps=6", "checkpoint.every=2"] + Self.schedule)
      let prefix = try job.writeTokens("text", count: 3000, vocabulary: 64) { _ in nil }
      try copy(prefix, to: job.directory.path + "/moved")
      func source(_ prefix: String) -> [String] { ["data.sources=[{tokens: \(prefix)}]"] }
      let whole = try job.finish(.alone, run: "whole", source(prefix))
      _ = try job.finish(.alone, run: "run", source(prefix) + ["train.steps=2"])
      let moved = source(job.directory.path + "/./moved")
      #expect(try job.finish(.ranks(2), run: "run", moved).weights == whole.weights)
    }

    /// A schedule that does not depend on the steps: two and then four more are the same run.
    private static let schedule = ["train.schedule={kind: constant, warmup_steps: 0}"]

    @Test("a source that is added goes on in a new phase; what was trained on stays")
    func addedSource() throws {
      let job = try TrainingJob(
        ["train.steps=6", "checkpoint.every=2", "data.shuffle=false"] + Self.schedule)
      let first = try job.writeTokens("first", count: 3000, vocabulary: 64) { _ in nil }
      let second = try job.writeTokens("second", count: 3000, vocabulary: 64) {
        $0 % 64 == 3 ? 3 : nil
      }
      let one = "{tokens: \(first)}"
      let two = "data.sources=[\(one), {tokens: \(second)}]"
      _ = try job.finish(.alone, run: "run", ["data.sources=[\(one)]", "train.steps=2"])
      let result = try job.start(.alone, run: "run", [two, "train.steps=4"]).wait()
      #expect(result.code == 0, "\(result.stderr)")
      #expect(
        result.stderr.contains("from step 3 (sample 16) on, the mixture is"), "\(result.stderr)")
      let four = try job.outcome("run")
      // Going on with the same sources changes nothing and says nothing.
      let again = try job.start(.ranks(2), run: "run", [two]).wait()
      #expect(again.code == 0 && !again.stderr.contains("the mixture is"), "\(again.stderr)")
      let rows = try job.outcome("run").rows
      #expect(Array(rows.prefix(4)) == four.rows)
      // In one go from step 2 on: the same phases, the same bits.
      _ = try job.finish(.alone, run: "straight", ["data.sources=[\(one)]", "train.steps=2"])
      #expect(try job.finish(.ranks(3), run: "straight", [two]) == job.outcome("run"))
      // A source that is gone again is not.
      let gone = try job.start(.alone, run: "run", ["data.sources=[\(one)]", "train.steps=8"])
        .wait()
      #expect(gone.code == 64 && gone.stderr.contains("\(second) (tokens "), "\(gone.stderr)")
      #expect(gone.stderr.contains("the recipe now says nothing"))
    }

    @Test(
      "--resume takes a checkpoint or a run however its path is written",
      arguments: [
        "run/checkpoints/step-00000002", "./run", "$PWD/run/checkpoints/step-00000002", "$PWD/run",
      ],
      ["run", "$PWD/run", "./run/"])
    func resumePath(_ path: String, _ output: String) throws {
      let job = try TrainingJob(["train.steps=2", "checkpoint.every=2"])
      _ = try job.finish(.alone, run: "run")
      let result = try job.shell(
        "cd \(job.directory.path); exec \"$@\" --resume \"\(path)\" run.output=\"\(output)\"",
        .alone,
        run: "run", ["train.steps=4"]
      ).wait()
      #expect(result.code == 0, "\(result.stderr)")
      #expect(result.stderr.contains("resuming after step 2"))
      #expect(try job.checkpoints("run") == ["step-00000002", "step-00000004"])
    }

    @Test("a checkpoint of another run does not mix with this run's")
    func foreign() throws {
      let job = try TrainingJob(["train.steps=2", "checkpoint.every=2"])
      _ = try job.finish(.alone, run: "run")
      _ = try job.finish(.alone, run: "other")
      let result = try job.start(
        .alone, run: "run", ["--resume", job.output("other"), "train.steps=4"]
      ).wait()
      #expect(result.code == 64 && result.stderr.contains("holds other checkpoints"))
    }

    @Test(
      "another function of the model is refused, naming the field with both values",
      arguments: [
        ("", "model.config.feature_map=relu", "feature_map", "none", "relu"),
        ("", "model.config.norm_eps=1e-4", "norm_epsilon", "1e-06", "0.0001"),
        ("", "model.config.clamp_min=-0.5", "gate_clamp_minimum", "none", "-0.5"),
        ("", "model.config.use_output_gate=false", "has_output_gate", "true", "false"),
        (
          TrainingJob.mamba2, "model.config.time_step_limit=[0.0, 0.5]", "time_step_limit", "inf",
          "0.5"
        ),
        (
          TrainingJob.mamba2, "model.config.layer_norm_epsilon=1e-4", "norm_epsilon", "1e-05",
          "0.0001"
        ),
      ])
    func otherFunction(
      _ model: String, _ change: String, _ field: String, _ was: String, _ now: String
    ) throws {
      let job = try TrainingJob(["train.steps=2"] + (model.isEmpty ? [] : [model]))
      _ = try job.finish(.alone, run: "run")
      for launch in [TrainingJob.Launch.alone, .ranks(2)] {
        let result = try job.start(launch, run: "run", [change, "train.steps=3"]).wait()
        #expect(result.code == 64 && result.errorLines.count == 1, "\(result.stderr)")
        let line = try #require(result.errorLines.first)
        let parts = line.components(separatedBy: ", the recipe now says ")
        #expect(
          parts.first?.contains(field) == true && parts.first?.contains(was) == true, "\(line)")
        #expect(parts.last?.contains(now) == true, "\(line)")
      }
    }

    @Test("a resumed run says what has changed since the checkpoint, and whether bits depend on it")
    func changes() throws {
      let job = try TrainingJob(["train.steps=2"] + Self.schedule)
      _ = try job.finish(.alone, run: "run")
      let same = try job.start(.alone, run: "run").wait()
      #expect(same.code == 0 && !same.stderr.contains("changed since"), "\(same.stderr)")
      let other = try job.start(
        .ranks(2), run: "run", ["train.steps=4", "checkpoint.keep=5"],
        environment: ["OPENBLAS_CORETYPE": "Nehalem"]
      ).wait()
      #expect(other.code == 0, "\(other.stderr)")
      for line in [
        "changed since step 2: train.steps 2 -> 4; the numbers of later steps may depend on that",
        "changed since step 2: checkpoint.keep 2 -> 5; no number of later steps depends on that",
        "changed since step 2: ranks 1 -> 2; the bits stay the same",
        "warning: changed since step 2: OpenBLAS ",
      ] { #expect(other.stderr.contains(line), "\(line): \(other.stderr)") }
    }

    // MARK: The schedule

    @Test("more steps after a finished schedule: the jump of the learning rate is announced")
    func jump() throws {
      let job = try TrainingJob()
      _ = try job.finish(.alone, run: "run", ["train.steps=4"])
      let more = try job.start(.ranks(2), run: "run", ["train.steps=20"]).wait()
      #expect(more.code == 0, "\(more.stderr)")
      #expect(
        more.stderr.contains(
          "warning: the learning rate jumps from 0.00e+00 at step 4 to "), "\(more.stderr)")
      let plain = try TrainingJob(Self.schedule)
      _ = try plain.finish(.alone, run: "run", ["train.steps=4"])
      let same = try plain.start(.alone, run: "run", ["train.steps=20"]).wait()
      #expect(same.code == 0 && !same.stderr.contains("warning"), "\(same.stderr)")
    }

    @Test("fewer steps than the checkpoint has are refused")
    func fewerSteps() throws {
      let job = try TrainingJob(["train.steps=4"])
      _ = try job.finish(.alone, run: "run")
      let before = try job.outcome("run")
      for launch in [TrainingJob.Launch.alone, .ranks(2)] {
        let result = try job.start(
          launch, run: "run", ["train.steps=3", "train.schedule.warmup_steps=1"]
        ).wait()
        #expect(result.code == 64 && result.errorLines.count == 1, "\(result.stderr)")
        #expect(
          result.errorLines.first?.hasPrefix(
            "error: train.steps: 3, but the checkpoint is already at step 4") == true)
      }
      #expect(try job.outcome("run") == before)
    }

    @Test("a run of one step trains")
    func oneStep() throws {
      let job = try TrainingJob(["train.steps=1", "train.schedule={}"])
      let trained = try job.start(.alone, run: "run").wait()
      #expect(trained.code == 0 && trained.stderr.contains("lr 1.00e-02"), "\(trained.stderr)")
      let idle = try job.start(.alone, run: "idle", ["train.schedule={warmup_steps: 0}"]).wait()
      #expect(
        idle.code == 0 && idle.stderr.contains("warning: the learning rate of the only step is 0"))
    }
  }
}
