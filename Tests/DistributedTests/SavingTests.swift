import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Checkpoints while training goes on, and runs that cannot write them.
  @Suite("saving beside training")
  struct SavingTests {
    static let launches = [TrainingJob.Launch.alone, .ranks(2)]

    /// What the run directory says about the run.
    private func status(_ job: TrainingJob, _ run: String) throws -> [String: Any] {
      let data = try Data(contentsOf: URL(fileURLWithPath: job.output(run) + "/status.json"))
      return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private func names(_ job: TrainingJob, _ step: Int) throws -> [String: Data] {
      let path = job.output("run") + "/checkpoints/step-0000000\(step)"
      var files: [String: Data] = [:]
      for name in try FileManager.default.contentsOfDirectory(atPath: path)
      where name.hasPrefix("shard") {
        files[name] = try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
      }
      return files
    }

    @Test("in the background or in line: the same files, byte for byte", arguments: launches)
    func sameFiles(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob(["train.state_passing=0.5", "checkpoint.keep=9"])
      let whole = try job.finish(launch, run: "run")
      let first = try [2, 4, 6].map { try names(job, $0) }
      #expect(first.allSatisfy { !$0.isEmpty })
      // The same run again, since a shard names its run.
      let old = ["--resume", job.output("run") + "/checkpoints/step-00000002"]
      #expect(
        try job.finish(launch, run: "run", old + ["checkpoint.asynchronous=false"]) == whole)
      #expect(try [2, 4, 6].map { try names(job, $0) } == first)
      let aside = try job.checkpoints("run").filter { $0.hasSuffix(".aside-1") }
      #expect(aside == ["step-00000004.aside-1", "step-00000006.aside-1"])
      #expect(
        FileManager.default.fileExists(atPath: job.output("run") + "/metrics.aside-1.jsonl"))
    }

    @Test("a run that cannot save trains on, says so, and saves when it can")
    func savesFailForAWhile() throws {
      // mpirun writes the log, and is not limited.
      let launch = TrainingJob.Launch.ranks(2)
      let job = try TrainingJob([
        "train.steps=600", "metrics.tensorboard=false",
        "train.schedule={kind: constant, warmup_steps: 0}",
      ])
      let whole = try job.finish(.alone, run: "whole")
      let process = try job.start(launch, run: "run")
      process.wait {
        ((try? job.checkpoints("run")) ?? []).contains { !$0.contains(".") }
      }
      try process.limitFiles(launch, to: 2000)
      // The row and the save of a step fail one after the other, and either may be first.
      process.wait {
        ["rows are kept in memory", "the next attempt is in"]
          .allSatisfy(process.errorOutput.contains)
      }
      let failing = try #require(job.checkpoints("run").filter { !$0.contains(".") }.last)
      let output = process.errorOutput
      try process.limitFiles(launch, to: nil)
      let result = process.wait()
      #expect(result.code == 0, "\(result.stderr)")
      #expect(output.contains(" was not saved: rank 0: cannot write"), "\(output)")
      #expect(output.contains("training continues; the next attempt is in"), "\(output)")
      #expect(result.stderr.contains("NOT SAVED ("), "\(output)")
      #expect(failing < "step-00000600")
      #expect(try job.outcome("run") == whole)
      let rows = try String(
        contentsOfFile: job.output("run") + "/metrics.jsonl", encoding: .utf8)
      // Two saves may fail between two rows, so the first number may be 2.
      #expect(rows.contains("\"failed_saves\": "))
      #expect(!job.lastRow("run").contains("failed_saves"))
      #expect(try job.checkpoints("run") == ["step-00000598", "step-00000600"])
    }

    @Test("with on_failure: stop it ends with 74 and the last checkpoint as it was")
    func stops() throws {
      let job = try TrainingJob([
        "train.steps=100000", "metrics.tensorboard=false", "checkpoint.on_failure=stop",
      ])
      let process = try job.start(.ranks(2), run: "run")
      process.wait { (try? job.checkpoints("run").contains("step-00000002")) == true }
      try process.limitFiles(.ranks(2), to: 2000)
      let result = process.wait()
      #expect(result.code == 74 && result.errorLines.count == 1, "\(result.stderr)")
      #expect(try status(job, "run")["state"] as? String == "failed")
      #expect(try status(job, "run")["exit_code"] as? Int == 74)
      let more = try job.start(.alone, run: "run", ["train.steps=100000", "--dry-run"]).wait()
      #expect(more.code == 0, "\(more.stderr)")
    }

    /// The numbers of an export.
    private func weights(_ directory: String) throws -> [Float] {
      let data = try Data(contentsOf: URL(fileURLWithPath: directory + "/model.safetensors"))
      let header = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
      return data.dropFirst(8 + header).withUnsafeBytes { bytes in
        (0..<(bytes.count / 4)).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      }
    }

    @Test("the model of any checkpoint, and the mean of several, as a model directory")
    func exports() throws {
      let job = try TrainingJob(["expansion={layers: [1], heads: 1}", "checkpoint.keep=9"])
      let whole = try job.finish(.ranks(2), run: "run")
      func export(_ arguments: String...) throws -> String {
        let output = job.directory.path + "/out-\(UUID().uuidString.prefix(6))"
        let result = try ChildProcess(
          [TrainingJob.products + "/statex", "checkpoint", "export", "--output", output]
            + arguments,
          directory: job.directory.path
        ).wait()
        #expect(result.code == 0, "\(result.stderr)")
        return output
      }
      let last = try export(job.output("run"))
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: last + "/model.safetensors")) == whole.weights)
      let steps = try [2, 4, 6].map {
        try export(job.output("run") + "/checkpoints/step-0000000\($0)")
      }
      let mean = try weights(export(job.output("run"), "--average", "3"))
      let all = try steps.map { try weights($0) }
      #expect(all[0] != all[2])
      let expected = all[0].indices.map { i in
        Float(all.reduce(0.0) { $0 + Double($1[i]) } / 3)
      }
      #expect(mean == expected)
    }

    @Test("checkpoints by time, whatever the steps")
    func interval() throws {
      let job = try TrainingJob([
        "train.steps=100000", "checkpoint.every=0", "checkpoint.interval=1s", "checkpoint.keep=9",
      ])
      let process = try job.start(.ranks(2), run: "run")
      let start = Date()
      process.wait { ((try? job.checkpoints("run")) ?? []).filter { !$0.contains(".") }.count >= 3 }
      let seconds = Date().timeIntervalSince(start)
      for rank in process.ranks(.ranks(2)) { kill(rank, SIGTERM) }
      #expect(process.wait().code == 75)
      #expect(seconds > 2 && seconds < 20, "\(seconds)")
    }

    @Test("status.json says what became of the run")
    func statuses() throws {
      let job = try TrainingJob(["train.steps=100000"])
      let process = try job.start(.ranks(2), run: "run")
      process.wait { job.rows("run").count >= 4 }
      #expect(try status(job, "run")["state"] as? String == "running")
      for rank in process.ranks(.ranks(2)) { kill(rank, SIGTERM) }
      #expect(process.wait().code == 75)
      let saved = try status(job, "run")
      #expect(saved["state"] as? String == "saved" && saved["ranks"] as? Int == 2, "\(saved)")
      #expect(saved["saved_step"] as? Int == job.rows("run").count)
      #expect(saved["launches"] as? Int == 1 && saved["idle_launches"] as? Int == 0, "\(saved)")
      // A launch that dies before it has saved anything.
      let killed = try job.start(.alone, run: "run", ["checkpoint.every=0"])
      killed.wait { (try? status(job, "run")["launches"] as? Int) == 2 }
      killed.end()
      let dead = try status(job, "run")
      #expect(dead["state"] as? String == "running" && dead["idle_launches"] as? Int == 1)
      let steps = job.rows("run").count + 2
      _ = try job.finish(.alone, run: "run", ["train.steps=\(steps)"])
      let finished = try status(job, "run")
      #expect(finished["state"] as? String == "finished" && finished["launches"] as? Int == 3)
      #expect(
        finished["idle_launches"] as? Int == 0
          && finished["run_id"] as? String == saved["run_id"] as? String)
    }

    @Test("a checkpoint of another run that was copied in is refused by name")
    func foreign() throws {
      let job = try TrainingJob(["train.schedule={kind: constant, warmup_steps: 0}"])
      _ = try job.finish(.alone, run: "run", ["train.steps=4"])
      _ = try job.finish(.alone, run: "other", ["train.steps=6", "run.seed=8"])
      let copy = "/checkpoints/step-00000006"
      try FileManager.default.copyItem(
        atPath: job.output("other") + copy, toPath: job.output("run") + copy)
      for launch in Self.launches {
        let result = try job.start(launch, run: "run").wait()
        #expect(result.code == 64 && result.errorLines.count == 1, "\(result.stderr)")
        #expect(
          result.errorLines.first?.contains(job.output("run") + copy + " belongs to run") == true)
      }
      // Without a status there are still checkpoints of two runs.
      try FileManager.default.removeItem(atPath: job.output("run") + "/status.json")
      #expect(try job.start(.alone, run: "run").wait().code == 64)
      try FileManager.default.removeItem(atPath: job.output("run") + copy)
      _ = try job.finish(.alone, run: "run")
    }
  }
}
