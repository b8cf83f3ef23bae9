import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Steps whose loss or gradient cannot be right.
  @Suite("spikes")
  struct SpikeTests {
    /// A job on regular text of which batch 13 is noise.
    private struct Noise {
      let job: TrainingJob
      let settings: [String]

      init() throws {
        job = try TrainingJob([
          "data.shuffle=false", "train.schedule={kind: constant, warmup_steps: 0}",
          "checkpoint.every=5", "checkpoint.keep=9", "train.steps=20",
        ])
        let perBatch = 8 * 64
        let prefix = try job.writeTokens("text", count: 30 * perBatch + 1, vocabulary: 64) {
          $0 / perBatch == 12 ? nil : Int32($0 % 8)
        }
        settings = ["data.sources=[{tokens: \(prefix)}]"]
      }

      func policy(_ policy: String, _ more: String = "") -> [String] {
        settings + ["train.on_spike={policy: \(policy), window: 4, threshold: 5\(more)}"]
      }

      /// The rows of `spikes.jsonl`.
      func spikes(_ run: String) throws -> [[String: Any]] {
        let path = URL(fileURLWithPath: job.output(run) + "/spikes.jsonl")
        return try Data(contentsOf: path).split(separator: UInt8(ascii: "\n")).map {
          try #require(try JSONSerialization.jsonObject(with: $0) as? [String: Any])
        }
      }
    }

    @Test(
      "skip: the update is left out and noted, with the batch's samples; resumed as uninterrupted")
    func skips() throws {
      let noise = try Noise()
      let (job, skip) = (noise.job, noise.policy("skip"))
      let whole = try job.finish(.alone, run: "whole", skip)
      let metrics = try String(
        contentsOfFile: job.output("whole") + "/metrics.jsonl", encoding: .utf8)
      let skipped = metrics.split(separator: "\n").filter { $0.contains("\"skipped\": 1.0") }
      #expect(
        skipped.count == 1 && skipped.first?.hasPrefix("{\"step\": 13,") == true, "\(metrics)")
      let losses = try job.losses("whole")
      #expect(losses.count == 20 && losses[12] > 3 && losses[13] < losses[11], "\(losses)")
      let rows = try noise.spikes("whole")
      let row = try #require(rows.first)
      let samples = try #require(row["samples"] as? [[String: Any]])
      #expect(rows.count == 1 && row["step"] as? Int == 13 && row["batch"] as? Int == 13)
      #expect(samples.map { $0["sample"] as? Int } == Array(96..<104), "\(samples)")
      // Documents of 700 tokens; sample 96 has the tokens 6144 to 6208.
      #expect(samples.first?["documents"] as? [Int] == [8, 8])
      #expect(try #require(row["z"] as? Double) > 5)

      #expect(try job.finish(.ranks(3), run: "three", skip) == whole)
      let zero1 = ["parallel.optimizer_sharding=zero1"]
      #expect(try job.finish(.ranks(2), run: "sharded", skip + zero1) == whole)
      // The window and the skipped step are in the checkpoint.
      _ = try job.finish(.ranks(2), run: "parts", skip + ["train.steps=11"])
      _ = try job.finish(.alone, run: "parts", skip + ["train.steps=14"])
      #expect(try job.finish(.ranks(2), run: "parts", skip) == whole)
      #expect(try job.finish(.alone, run: "off", noise.settings).weights != whole.weights)
    }

    @Test(
      "roll_back: an older checkpoint, without the batches since", arguments: [(2, 10), (5, 5)])
    func rollsBack(_ stepsBack: Int, _ step: Int) throws {
      let noise = try Noise()
      let job = noise.job
      let back = noise.policy("roll_back", ", steps_back: \(stepsBack)")
      let result = try job.start(.alone, run: "whole", back).wait()
      let name = "step-000000" + (step < 10 ? "0" : "") + "\(step)"
      #expect(result.code == 0, "\(result.stderr)")
      #expect(
        result.stderr.contains(
          "checkpoints/\(name), without the batches of steps \(step + 1) to 13"),
        "\(result.stderr)")
      let whole = try job.outcome("whole")
      let losses = try job.losses("whole")
      #expect(losses.count == 20 && losses.dropFirst(8).allSatisfy { $0 < 3 }, "\(losses)")
      #expect(try job.finish(.ranks(3), run: "three", back) == whole)
      // Stopped before the spike, and after going back: what was left out is in the checkpoint.
      for steps in [12, step + 4, 17] {
        let run = "parts-\(steps)"
        _ = try job.finish(.ranks(2), run: run, back + ["train.steps=\(steps)"])
        #expect(try job.finish(.alone, run: run, back) == whole, "\(steps)")
      }
    }

    @Test("no checkpoint to go back to, too many spikes, and stop end with 70")
    func ends() throws {
      let noise = try Noise()
      for (settings, says) in [
        (noise.policy("roll_back", ", steps_back: 10"), "there is no checkpoint to go back to"),
        (noise.policy("skip", ", limit: 0"), "(train.on_spike.limit)"),
        (noise.policy("stop"), "standard deviations above those of the 4 steps before"),
      ] {
        let result = try noise.job.start(.ranks(2), run: "run", settings).wait()
        #expect(result.code == 70 && result.errorLines.count == 1, "\(result.stderr)")
        #expect(result.errorLines.first?.contains("step 13: the loss is ") == true)
        #expect(result.errorLines.first?.contains(says) == true, "\(result.stderr)")
      }
      // Step 12 is saved; a restart gets past it.
      #expect(try noise.job.checkpoints("run").last == "step-00000012")
      let back = noise.policy("roll_back", ", steps_back: 2")
      let whole = try noise.job.finish(.alone, run: "whole", back)
      #expect(try noise.job.finish(.alone, run: "run", back) == whole)
      #expect(try noise.job.checkpoints("run").contains("step-00000012.aside-1"))
    }

    // MARK: Numbers that are not finite

    private func damaged(
      _ job: TrainingJob, _ kind: String, _ launch: TrainingJob.Launch, run: String,
      _ settings: [String]
    ) throws -> ChildProcess.Result {
      let command = launch.command(
        [
          TrainingJob.products + "/training-probe", "damaged", kind, "-1", "4", job.recipePath,
          "run.output=" + job.output(run),
        ] + job.settings + settings)
      return try ChildProcess(command, directory: job.directory.path).wait(limit: 60)
    }

    @Test("a parameter that is NaN: roll_back gets past it, on any number of ranks")
    func notANumber() throws {
      let job = try TrainingJob(["checkpoint.every=3"])
      let settings = ["train.on_spike={policy: roll_back, steps_back: 1}"]
      let off = try damaged(job, "nan", .ranks(2), run: "off", [])
      #expect(off.code == 70 && off.stderr.contains("step 5: the loss is nan"), "\(off.stderr)")
      for (launch, run) in [(TrainingJob.Launch.alone, "one"), (.ranks(3), "three")] {
        let result = try damaged(job, "nan", launch, run: run, settings)
        #expect(result.code == 0, "\(result.stderr)")
        #expect(job.rows(run).count == 6 && !job.rows(run).joined().contains("null"))
      }
      #expect(try job.outcome("one") == job.outcome("three"))
    }

    @Test("a gradient that is NaN in one step: skip leaves that step out, on any number of ranks")
    func notANumberOnce() throws {
      let job = try TrainingJob(["train.state_passing=0.5", "checkpoint.every=3"])
      let settings = ["train.on_spike.policy=skip"]
      for (launch, run) in [(TrainingJob.Launch.alone, "one"), (.ranks(3), "three")] {
        let result = try damaged(job, "blink", launch, run: run, settings)
        #expect(result.code == 0, "\(result.stderr)")
      }
      #expect(try job.outcome("one") == job.outcome("three"))
      #expect(job.rows("one").filter { $0.contains("null") }.count == 1, "\(job.rows("one"))")
    }

    @Test(
      "a loss that is finite with a gradient that is not, under each policy",
      arguments: ["off", "stop", "skip", "roll_back"])
    func infiniteGradient(_ policy: String) throws {
      let job = try TrainingJob(["checkpoint.every=1"])
      let settings = ["train.on_spike={policy: \(policy), steps_back: 1}"]
      // One rank alone exchanges nothing between its gradient and the norm.
      for (launch, run) in [(TrainingJob.Launch.ranks(2), "one"), (.ranks(3), "two")] {
        let result = try damaged(job, "gradient", launch, run: run, settings)
        let rows = job.rows(run).filter { $0.contains("\"grad_norm\": null") }
        switch policy {
        case "off", "stop":
          #expect(result.code == 70 && result.errorLines.count == 1, "\(result.stderr)")
          let line = result.errorLines.first ?? ""
          #expect(line.contains("step 5: ") && line.contains("gradient"), "\(line)")
          #expect(try job.checkpoints(run).last == "step-00000004")
        default:
          #expect(result.code == 0, "\(result.stderr)")
          #expect(job.rows(run).count == 6 && rows.count == (policy == "skip" ? 1 : 0))
          #expect(rows.allSatisfy { $0.contains("\"loss\": ") && !$0.contains("\"loss\": null") })
        }
      }
      #expect(job.rows("one").map { $0.prefix(40) } == job.rows("two").map { $0.prefix(40) })
    }

    @Test("what is not finite is not saved", arguments: ["nan", "infinity"])
    func isNotSaved(_ kind: String) throws {
      let job = try TrainingJob()
      let result = try damaged(job, kind, .ranks(2), run: "run", ["checkpoint.every=4"])
      #expect(result.code == 70 && result.errorLines.count == 1, "\(result.stderr)")
      let store = kind == "nan" ? "parameters" : "exp_avg"
      #expect(result.errorLines.first?.contains("error: step 4: \(store)/") == true)
      #expect(result.errorLines.first?.contains(" is not finite and is not saved") == true)
      #expect(((try? job.checkpoints("run")) ?? []) == [], "\(result.stderr)")
    }

    @Test(
      "where a step leaves what cannot be saved, roll_back goes on from the checkpoint before",
      arguments: ["nan", "infinity"])
    func goesBackFromASave(_ kind: String) throws {
      let job = try TrainingJob(["checkpoint.every=2"])
      let settings = ["train.on_spike={policy: roll_back, steps_back: 1}"]
      for (launch, run) in [(TrainingJob.Launch.alone, "one"), (.ranks(3), "three")] {
        let result = try damaged(job, kind, launch, run: run, settings)
        #expect(result.code == 0, "\(result.stderr)")
        #expect(result.stderr.contains("step 4: "), "\(result.stderr)")
        #expect(
          result.stderr.contains(
            " is not finite and is not saved; going back to \(job.output(run))/checkpoints/step-00000002"
          ), "\(result.stderr)")
        #expect(job.rows(run).count == 6 && !job.rows(run).joined().contains("null"))
      }
      #expect(try job.outcome("one") == job.outcome("three"))
    }
  }
}
