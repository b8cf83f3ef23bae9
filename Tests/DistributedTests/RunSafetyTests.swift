import ChildPrograms
import Foundation
import Testing
import TokenData

extension DistributedTests {
  /// Mistakes and mishaps that must cost no step.
  @Suite("no step is lost")
  struct RunSafetyTests {
    static let launches = [TrainingJob.Launch.alone, .ranks(2)]

    // MARK: Evaluation

    /// What an `evaluation` section can have wrong, the exit code, and a part of the line.
    static let mistakes: [(section: String, code: Int32, says: String)] = [
      ("{every: 2, perplexity: {tokens: /nowhere/text}}", 74, "/nowhere/text"),
      ("{every: 2, tasks: [{task: mqar, vocab: 128}]}", 64, "the model's vocabulary has 64"),
      ("{every: 2, tasks: [{task: mqar, vocab: 64, sequence_length: 7}]}", 64, "mqar"),
      ("{every: 2, tasks: [{task: passkey, tokenizer: byte}]}", 64, "passkey"),
      (
        "{every: 2, tasks: [{task: passkey, tokenizer: byte, sequence_length: 999}]}", 64,
        "outside the model's vocabulary"
      ),
    ]

    @Test("a mistake in `evaluation` is refused before the first step", arguments: mistakes)
    func evaluationIsChecked(_ mistake: (section: String, code: Int32, says: String)) throws {
      let job = try TrainingJob(["evaluation=" + mistake.section])
      let before = job.files()
      for (launch, mode) in [
        (TrainingJob.Launch.alone, []), (.ranks(2), []), (.alone, ["--dry-run"]),
        (.alone, ["--debug"]),
      ] {
        let result = try job.start(launch, run: "run", mode).wait()
        #expect(result.code == mistake.code, "\(launch) \(mode): \(result.stderr)")
        #expect(result.errorLines.count == 1, "\(result.stderr)")
        #expect(result.errorLines.first?.contains(mistake.says) == true, "\(result.stderr)")
        #expect(job.files() == before)
      }
      let plan = try ChildProcess(
        [TrainingJob.products + "/statex", "plan", "--config", job.recipePath] + job.settings,
        directory: job.directory.path
      ).wait()
      #expect(plan.code == mistake.code && plan.errorLines.count == 1, "\(plan.stderr)")
      // Nothing is measured, so nothing has to be there.
      let off = try job.start(.alone, run: "run", ["evaluation.every=0"]).wait()
      #expect(off.code == 0, "\(off.stderr)")
    }

    @Test("text that is gone when it is measured costs no step", arguments: launches)
    func evaluationFails(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob(["train.steps=8", "checkpoint.every=0"])
      let prefix = try job.writeTokens("text", count: 500, vocabulary: 64) { _ in nil }
      let evaluation = ["evaluation={every: 4, perplexity: {tokens: \(prefix)}}"]
      let whole = try job.finish(.alone, run: "whole", evaluation)
      let process = try job.start(launch, run: "run", evaluation)
      process.wait { job.rows("run").count >= 1 }
      try FileManager.default.moveItem(atPath: prefix + ".idx", toPath: prefix + ".away")
      let result = process.wait()
      #expect(result.code == 74 && result.errorLines.count == 1, "\(result.stderr)")
      #expect(try job.checkpoints("run") == ["step-00000004"])
      try FileManager.default.moveItem(atPath: prefix + ".away", toPath: prefix + ".idx")
      #expect(try job.finish(launch, run: "run", evaluation) == whole)
      // The evaluation that failed was made up for.
      #expect(try evaluations(job, "run") == evaluations(job, "whole"))
      #expect(try evaluations(job, "run").count == 2)
    }

    private func evaluations(_ job: TrainingJob, _ run: String) throws -> [Substring] {
      try String(contentsOfFile: job.output(run) + "/evaluation.jsonl", encoding: .utf8)
        .split(separator: "\n")
    }

    // MARK: Files that cannot be written

    @Test("metrics that cannot be written: the step is saved")
    func metricsFail() throws {
      let job = try TrainingJob([
        "checkpoint.every=0", "metrics.tensorboard=false", "train.steps=400",
        "train.schedule={kind: constant, warmup_steps: 0}", "checkpoint.on_failure=stop",
      ])
      let whole = try job.finish(.alone, run: "whole")
      _ = try job.finish(.alone, run: "run", ["train.steps=2"])
      // A row that is longer than a checkpoint, so that only metrics reach the limit.
      let path = job.output("run") + "/metrics.jsonl"
      let rows = try String(contentsOfFile: path, encoding: .utf8)
      let filler = String(repeating: " ", count: 1_000_000)
      try rows.replacingOccurrences(of: "{\"step\": 1,", with: "{\"step\": 1,\(filler)")
        .write(toFile: path, atomically: true, encoding: .utf8)
      let process = try job.start(.alone, run: "run")
      process.wait { job.rows("run").count >= 4 }
      try process.limitFiles(.alone, to: 1_001_000)
      let result = process.wait()
      #expect(result.code == 74 && result.errorLines.count == 1, "\(result.stderr)")
      #expect(result.errorLines.first?.contains("metrics.jsonl") == true)
      let saved = try #require(job.checkpoints("run").last)
      #expect(saved > "step-00000004" && saved < "step-00000400")
      _ = try job.finish(.alone, run: "run")
      #expect(try job.outcome("run").weights == whole.weights)
    }

    @Test("when the step cannot be saved either, both are said", arguments: launches)
    func savingFailsToo(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob([
        "checkpoint.every=0", "metrics.tensorboard=false", "train.steps=100000",
        "checkpoint.on_failure=stop",
      ])
      let process = try job.start(launch, run: "run")
      process.wait { job.rows("run").count >= 4 }
      try process.limitFiles(launch, to: 1000)
      let result = process.wait()
      #expect(result.code == 74 && result.errorLines.count == 1, "\(result.stderr)")
      let line = try #require(result.errorLines.first)
      #expect(line.contains("metrics.jsonl") && line.contains("was not saved"), "\(line)")
      #expect(line.contains("the steps since the last checkpoint are lost"), "\(line)")
    }

    // MARK: Logs and terminals

    @Test(
      "a hangup saves and stops with 75, however often it is sent; so does the end of processor time",
      arguments: launches, [SIGHUP, SIGXCPU])
    func hangup(_ launch: TrainingJob.Launch, _ signal: Int32) throws {
      let job = try TrainingJob(["train.steps=100000", "checkpoint.every=0"])
      let process = try job.start(launch, run: "run")
      process.wait { job.rows("run").count >= 2 }
      for _ in 0..<4 {
        for rank in process.ranks(launch) { kill(rank, signal) }
        usleep(2000)
      }
      let result = process.wait()
      #expect(result.code == 75, "\(result.stderr)")
      #expect(result.stderr.contains("stopped by SIG\(signal == SIGHUP ? "HUP" : "XCPU")"))
      #expect(try job.checkpoints("run").count == 1)
    }

    @Test("nohup: a hangup that is ignored stays ignored")
    func nohup() throws {
      let job = try TrainingJob(["train.steps=100000", "checkpoint.every=0"])
      let process = try job.shell("trap '' HUP; exec \"$@\"", .alone, run: "run")
      process.wait { job.rows("run").count >= 2 }
      process.send(SIGHUP)
      let rows = job.rows("run").count
      process.wait { job.rows("run").count >= rows + 10 }
      process.send(SIGTERM)
      let result = process.wait()
      #expect(result.code == 75 && result.stderr.contains("stopped by SIGTERM"))
    }

    @Test(
      "a log that cannot be written stops nothing",
      arguments: [
        "exec \"$@\" 2>/dev/full", "exec \"$@\" 2>&-", "exec \"$@\" >&- 2>&- <&-",
        "\"$@\" 2>&1 | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}",
      ])
    func noLog(_ script: String) throws {
      let job = try TrainingJob(["train.steps=200", "checkpoint.every=50"])
      let result = try job.shell(script, .alone, run: "run").wait()
      #expect(result.code == 0, "\(script): \(result.stderr)")
      #expect(job.rows("run").count == 200)
      #expect(job.rows("run").allSatisfy { $0.hasPrefix("{\"step\": ") })
    }

    @Test("under mpirun nothing is lost either when the log's reader goes away")
    func noLogUnderMPI() throws {
      let job = try TrainingJob(["train.steps=200", "checkpoint.every=0"])
      let script = "\"$@\" 2>&1 | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}"
      let result = try job.shell(script, .ranks(2), run: "run").wait()
      // mpirun may give up on the pipe, or fall over; the ranks notice, save and leave after it.
      func isSaved() -> Bool {
        let last = (try? job.checkpoints("run"))?.last
        return last?.hasSuffix("0\(job.rows("run").count)") == true
      }
      let deadline = Date() + 20
      while !isSaved(), Date() < deadline { usleep(10_000) }
      #expect(isSaved(), "\(result.code), \(job.rows("run").count) rows")
    }

    // MARK: Start-up

    @Test("SIGTERM before the first step stops with 75 and leaves nothing", arguments: launches)
    func startUp(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob()
      let process = try job.start(launch, run: "run")
      // From before MPI starts.
      process.wait {
        let ranks = process.ranks(launch)
        return !ranks.isEmpty && ranks.allSatisfy { ChildProcess.catches(SIGTERM, $0) }
      }
      for rank in process.ranks(launch) { kill(rank, SIGTERM) }
      let result = process.wait()
      #expect(result.code == 75, "\(result.stderr)")
      #expect(result.stderr.contains("stopped by SIGTERM before the first step"))
      #expect(result.errorLines == [])
      #expect(!FileManager.default.fileExists(atPath: job.output("run")))
    }
  }
}

extension ChildProcess {
  /// Lets the trainer's processes write no file beyond a size; nil lifts the limit.
  func limitFiles(_ launch: TrainingJob.Launch, to bytes: Int?) throws {
    for rank in ranks(launch) {
      let limit = try ChildProcess(
        [
          "prlimit", "--pid", "\(rank)",
          "--fsize=\(bytes.map(String.init) ?? "unlimited"):unlimited",
        ],
        directory: NSTemporaryDirectory()
      ).wait()
      #expect(limit.code == 0, "\(limit.stderr)")
    }
  }
}

extension TrainingJob {
  /// Starts the trainer from a bash script, which finds the command in `"$@"`.
  func shell(
    _ script: String, _ launch: Launch, run: String, _ arguments: [String] = []
  ) throws -> ChildProcess {
    let program = [
      Self.products + "/statex-train", "--config", recipePath, "run.output=" + output(run),
    ]
    return try ChildProcess(
      ["bash", "-c", script, "bash"] + launch.command(program + settings + arguments),
      directory: directory.path)
  }
}
