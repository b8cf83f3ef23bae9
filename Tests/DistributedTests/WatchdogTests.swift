import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Ranks that die, are stopped, or wait for each other for ever.
  @Suite("watchdog")
  struct WatchdogTests {
    private static let settings = [
      "train.steps=100000", "checkpoint.every=2", "run.watchdog=2s",
      "train.schedule={kind: constant, warmup_steps: 0}",
    ]

    /// A run of four ranks that has saved something, and the process of each rank.
    private func start(_ job: TrainingJob, _ arguments: [String] = []) throws -> (
      ChildProcess, [pid_t]
    ) {
      let process = try job.start(.ranks(4), run: "run", arguments)
      process.wait { job.rows("run").count >= 5 }
      // mpirun starts them in their order.
      let ranks = process.children.sorted()
      try #require(ranks.count == 4)
      return (process, ranks)
    }

    private func report(_ job: TrainingJob) throws -> String {
      let names = try FileManager.default.contentsOfDirectory(atPath: job.output("run"))
      let name = try #require(names.first { $0.hasPrefix("watchdog-") }, "\(names)")
      return try String(contentsOfFile: job.output("run") + "/" + name, encoding: .utf8)
    }

    @Test("a rank that is stopped is named with its phase, and the run ends and goes on")
    func silence() throws {
      let job = try TrainingJob(Self.settings)
      let (process, ranks) = try start(job)
      kill(ranks[2], SIGSTOP)
      let start = Date()
      let result = process.wait(limit: 60)
      #expect(Date().timeIntervalSince(start) < 30)
      #expect(result.code == 74, "\(result.stderr)")
      #expect(result.errorLines.count == 1, "\(result.stderr)")
      let line = try #require(result.errorLines.first)
      #expect(line.contains("error: rank 2 on "), "\(line)")
      #expect(line.contains("(process \(ranks[2])) has been silent for 2 s"), "\(line)")
      #expect(line.contains("saved last: step ") && line.contains("/watchdog-"), "\(line)")
      let report = try report(job)
      for rank in 0..<4 { #expect(report.contains("\nrank \(rank)  "), "\(report)") }
      #expect(report.contains("waiting in MPI_"), "\(report)")
      let status = try String(contentsOfFile: job.output("run") + "/status.json", encoding: .utf8)
      #expect(
        status.contains(#""state": "failed""#) && status.contains(#""exit_code": 74"#)
          && status.contains("has been silent for 2 s"), "\(status)")
      let end = Date() + 5
      while ranks.contains(where: ChildProcess.isRunning), Date() < end { usleep(10_000) }
      for rank in ranks { #expect(!ChildProcess.isRunning(rank)) }
      let last = job.rows("run").count
      _ = try job.finish(.ranks(2), run: "run", ["train.steps=\(last + 2)"])
    }

    @Test("when the first rank is stopped, another one says so")
    func silentLead() throws {
      let job = try TrainingJob(Self.settings)
      let (process, ranks) = try start(job)
      kill(ranks[0], SIGSTOP)
      let result = process.wait(limit: 60)
      #expect(result.code == 74, "\(result.stderr)")
      #expect(result.errorLines.count == 1, "\(result.stderr)")
      let line = try #require(result.errorLines.first)
      #expect(line.contains("error: rank 1: rank 0 on "), "\(line)")
      #expect(line.contains("has been silent for 2 s; this rank was "), "\(line)")
    }

    @Test("a rank that is killed is named at once", arguments: [0, 3])
    func death(_ rank: Int) throws {
      let job = try TrainingJob(Self.settings + ["run.watchdog=30s"])
      let (process, ranks) = try start(job)
      kill(ranks[rank], SIGKILL)
      let start = Date()
      let result = process.wait(limit: 60)
      #expect(Date().timeIntervalSince(start) < 10)
      #expect(result.code != 0 && result.errorLines.count == 1, "\(result.stderr)")
      let line = try #require(result.errorLines.first)
      #expect(line.contains("rank \(rank) on "), "\(line)")
      #expect(line.contains("(process \(ranks[rank])) ended without a word"), "\(line)")
      #expect(line.contains("saved last: step "), "\(line)")
    }

    @Test("a run that was stopped as a whole goes on when it is continued")
    func suspension() throws {
      let job = try TrainingJob(Self.settings)
      let (process, ranks) = try start(job)
      for rank in ranks { kill(rank, SIGSTOP) }
      sleep(5)
      for rank in ranks { kill(rank, SIGCONT) }
      let rows = job.rows("run").count
      process.wait { job.rows("run").count >= rows + 20 }
      sleep(3)
      #expect(!process.hasEnded)
      process.send(SIGUSR1)
      let result = process.wait()
      #expect(result.code == 75 && result.errorLines == [], "\(result.stderr)")
    }

    @Test("ranks that wait for each other for ever are told to hang, and for what they wait")
    func mismatch() throws {
      let job = try TrainingJob(Self.settings)
      let command = TrainingJob.Launch.ranks(3).command([
        TrainingJob.products + "/training-probe", "mismatch", job.recipePath,
        "run.output=" + job.output("run"),
      ])
      let result = try ChildProcess(
        command + Self.settings, directory: job.directory.path
      ).wait(limit: 60)
      #expect(result.code == 70 && result.errorLines.count == 1, "\(result.stderr)")
      let line = try #require(result.errorLines.first)
      #expect(line.contains("no rank has made progress for "), "\(line)")
      #expect(
        line.contains(/rank 1 on [^ ]+ .process \d+. waits in MPI_Ialltoallv of 12 bytes/),
        "\(line)")
      #expect(line.contains("rank 2 on ") && line.contains(" in step 3"), "\(line)")
    }

    @Test("an error that only one rank has is one line")
    func oneRankOnly() throws {
      let job = try TrainingJob(Self.settings)
      let command = TrainingJob.Launch.ranks(3).command([
        TrainingJob.products + "/training-probe", "failing-save", job.recipePath,
        "run.output=" + job.output("run"),
      ])
      let result = try ChildProcess(command, directory: job.directory.path).wait(limit: 30)
      #expect(result.code == 70 && result.errorLines.count == 1, "\(result.stderr)")
      #expect(!result.stderr.contains("without a word"), "\(result.stderr)")
    }

    // MARK: Files that become shorter

    @Test(
      "a token file that becomes shorter under a run is one line with its path",
      arguments: [TrainingJob.Launch.alone, .ranks(2)])
    func truncation(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob(Self.settings)
      let prefix = try job.writeTokens("text", count: 2_000_000, vocabulary: 64) { _ in nil }
      let process = try job.start(
        launch, run: "run", ["data.sources=[{tokens: \(prefix)}]"])
      process.wait { job.rows("run").count >= 3 }
      #expect(truncate(prefix + ".bin", 4096) == 0)
      let result = process.wait(limit: 30)
      #expect(result.code == 65, "\(result.stderr)")
      #expect(result.errorLines.count == 1, "\(result.stderr)")
      let line = try #require(result.errorLines.first)
      #expect(line.contains("\(prefix).bin: the file has become shorter"), "\(line)")
      #expect(try job.checkpoints("run").isEmpty == false)
    }

    // MARK: Time

    @Test("a run stops by itself before its time is up", arguments: ["recipe", "slurm"])
    func timeLimit(_ whose: String) throws {
      let job = try TrainingJob(Self.settings)
      let end = Int(Date().timeIntervalSince1970) + 6
      let process = try job.start(
        .ranks(2), run: "run", whose == "recipe" ? ["run.time_limit=5s"] : [],
        environment: whose == "recipe" ? [:] : ["SLURM_JOB_END_TIME": "\(end)"])
      let start = Date()
      let result = process.wait(limit: 30)
      #expect(result.code == 75 && result.errorLines == [], "\(result.stderr)")
      #expect(Date().timeIntervalSince(start) < 8)
      let reason = whose == "recipe" ? "run.time_limit" : "the end of the Slurm job's time"
      #expect(result.stderr.contains("stopped by \(reason) after step "), "\(result.stderr)")
      #expect(result.stderr.contains("stops by itself within 0.1 minutes"), "\(result.stderr)")
      let last = job.rows("run").count
      #expect(last > 0)
      #expect(try job.checkpoints("run").last?.hasSuffix("\(last)") == true)
    }

    // MARK: Launchers

    @Test("one process inside a Slurm allocation runs alone; several without PMIx are refused")
    func allocation() throws {
      let job = try TrainingJob()
      let allocation = ["SLURM_NODELIST": "somewhere", "SLURM_JOB_ID": "7", "SLURM_JOBID": "7"]
      let alone = try job.start(.alone, run: "run", environment: allocation).wait()
      #expect(alone.code == 0, "\(alone.stderr)")
      let step = ["SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"]
      let several = try job.start(
        .alone, run: "several", environment: allocation.merging(step) { $1 }
      ).wait()
      #expect(several.code == 64 && several.errorLines.count == 1, "\(several.stderr)")
      #expect(several.stderr.contains("srun started 2 processes without PMIx"))
      #expect(several.stderr.split(separator: "\n").count == 1, "\(several.stderr)")
    }
  }
}
