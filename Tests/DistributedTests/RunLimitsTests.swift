import ChildPrograms
import Foundation
import Testing
import TokenData

extension DistributedTests {
  /// What the system does not give, and what fails on one rank only.
  @Suite("limits")
  struct RunLimitsTests {
    static let launches = [TrainingJob.Launch.alone, .ranks(2)]

    /// Expects one line and an exit code.
    private func expect(
      _ result: ChildProcess.Result, _ code: Int32, _ parts: String...,
      sourceLocation: SourceLocation = #_sourceLocation
    ) {
      #expect(result.code == code, "\(result.stderr)", sourceLocation: sourceLocation)
      #expect(result.errorLines.count == 1, "\(result.stderr)", sourceLocation: sourceLocation)
      for part in parts {
        #expect(
          result.errorLines.first?.contains(part) == true, "\(result.stderr)",
          sourceLocation: sourceLocation)
      }
      #expect(!result.stderr.contains("Fatal"), sourceLocation: sourceLocation)
    }

    // MARK: Memory and threads

    /// A model of 3 GB, with its gradient and moments.
    private static let large = [
      "model.config.hidden_size=2048", "model.config.intermediate_size=65536",
      "model.config.vocab_size=64",
    ]

    @Test(
      "memory that the system does not give is one line before the first step", arguments: launches)
    func memory(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob(Self.large)
      let result = try job.shell("ulimit -v 4000000; exec \"$@\"", launch, run: "run").wait()
      // Ranks of one machine may already lack what all of them need together.
      expect(result, 64, " GB", "memory", "train.memory_budget")
      #expect(!FileManager.default.fileExists(atPath: job.output("run")))
    }

    @Test("memory that runs out in the middle is one line too")
    func memoryInTheMiddle() throws {
      let job = try TrainingJob(Self.large)
      let result = try job.shell(
        "ulimit -v 2000000; exec \"$@\"", .alone, run: "run", ["--debug"]
      ).wait()
      expect(result, 74, "the system does not give", "bytes of memory")
    }

    @Test("threads that the system does not start are one line")
    func threads() throws {
      let job = try TrainingJob(["parallel.threads_per_rank=4000"])
      let result = try job.shell("ulimit -v 4000000; exec \"$@\"", .alone, run: "run").wait()
      expect(result, 74, "compute thread", "of 4000 cannot be started")
    }

    @Test("a budget counts evaluation and the model before its expansion")
    func budget() throws {
      let job = try TrainingJob()
      func refused(_ arguments: [String]) throws -> Bool {
        let result = try job.start(.alone, run: "run", arguments + ["--dry-run"]).wait()
        if result.code != 0 { expect(result, 64, "train.memory_budget") }
        return result.code == 64
      }
      let evaluation =
        "evaluation={every: 2, tasks: [{task: mqar, vocab: 64, sequence_length: 4096}]}"
      let budget = "train.memory_budget=2MB"
      #expect(try !refused([budget]))
      #expect(try refused([budget, evaluation, "train.segment_length=2048"]))
      #expect(try !refused(["train.memory_budget=20MB", evaluation, "train.segment_length=2048"]))
    }

    // MARK: Processors

    /// A control group with a quota of one processor, where this machine lets us make one.
    private static let group = "/sys/fs/cgroup/cpu/statex-\(getpid())"

    private static var makesGroups: Bool {
      guard mkdir(group, 0o755) == 0 else { return false }
      rmdir(group)
      return true
    }

    @Test("a processor quota bounds the threads", .enabled(if: makesGroups))
    func quota() throws {
      #expect(mkdir(Self.group, 0o755) == 0)
      defer { rmdir(Self.group) }
      for file in ["cpu.cfs_period_us", "cpu.cfs_quota_us"] {
        try "100000".write(toFile: Self.group + "/" + file, atomically: false, encoding: .utf8)
      }
      let job = try TrainingJob(["parallel.threads_per_rank=auto"])
      let result = try job.shell(
        "echo $$ > \(Self.group)/cgroup.procs; \"$@\"; code=$?; "
          + "echo $$ > /sys/fs/cgroup/cpu/cgroup.procs; exit $code", .alone, run: "run"
      ).wait()
      #expect(result.code == 0 && result.stderr.contains("1 rank x 1 thread,"), "\(result.stderr)")
    }

    @Test(
      "a rank that is bound to fewer processors than there are is told how to mend it",
      .enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1))
    func binding() throws {
      let job = try TrainingJob(["parallel.threads_per_rank=auto"])
      let bound = try job.start(.bound, run: "bound").wait()
      #expect(bound.code == 0)
      #expect(
        bound.stderr.split(separator: "\n").count { $0.hasPrefix("warning: ") } == 1,
        "\(bound.stderr)")
      #expect(bound.stderr.contains("start mpirun with --bind-to none, or --map-by slot:PE="))
      let free = try job.start(.alone, run: "free").wait()
      #expect(free.code == 0 && !free.stderr.contains("warning: "), "\(free.stderr)")
    }

    // MARK: One rank only

    @Test("MPI failing on one rank inside a save ends the whole job")
    func savingFailsOnOneRank() throws {
      let job = try TrainingJob()
      let command = TrainingJob.Launch.ranks(3).command([
        TrainingJob.products + "/training-probe", "failing-save", job.recipePath,
        "run.output=" + job.output("run"),
      ])
      let result = try ChildProcess(command, directory: job.directory.path).wait(limit: 30)
      expect(result, 70, "rank 1: ", "MPI_Allgather failed: the network is gone")
    }

    @Test("states that one rank cannot spill: all ranks agree, and say what is lost")
    func spillingFails() throws {
      let job = try TrainingJob([
        "train.micro_batch=2", "train.segment_length=8", "train.memory_budget=770kB",
        "train.steps=100000", "checkpoint.every=0",
      ])
      let process = try job.start(
        .ranks(2), run: "run",
        [
          "train.scratch=\(job.directory.path)", "train.memory_budget=530kB",
          "parallel.reproducible=false",
        ])
      process.wait { job.rows("run").count >= 4 }
      let rank = try #require(process.children.last)
      let limit = try ChildProcess(
        ["prlimit", "--pid", "\(rank)", "--fsize=100"], directory: job.directory.path
      ).wait()
      #expect(limit.code == 0)
      expect(process.wait(), 74, "scratch", "was not saved")
    }

    @Test(
      "a loss that is no number leaves the steps before it, where they are whole",
      arguments: launches)
    func notFinite(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob(["train.optimizer.lr=1e30", "checkpoint.every=0"])
      expect(try job.start(launch, run: "run").wait(), 70, "step 2: the ")
      #expect(try job.checkpoints("run") == ["step-00000001"])
      // The states that lanes carry are those of the step before, too.
      expect(
        try job.start(launch, run: "lanes", ["train.state_passing=1"]).wait(), 70, "step 2: the ")
      #expect(try job.checkpoints("lanes") == ["step-00000001"])
    }
  }
}
