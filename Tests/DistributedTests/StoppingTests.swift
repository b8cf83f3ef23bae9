import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// A stop is answered within a segment, whatever the run is doing and whoever was asked.
  @Suite("stopping")
  struct StoppingTests {
    struct Case: CustomTestStringConvertible, Sendable {
      let testDescription: String
      let launch: TrainingJob.Launch
      var settings: [String] = []
    }

    /// Two steps of seconds, in segments of milliseconds.
    private static let longSteps = [
      "train.steps=2", "train.sequences_per_step=6", "data.sequence_length=12288",
      "train.segment_length=192", "checkpoint.every=0", "train.optimizer.lr=1.0e-3",
      "train.schedule={kind: constant, warmup_steps: 0}",
    ]

    static let cases = [
      Case(testDescription: "no launcher", launch: .alone),
      Case(
        testDescription: "no launcher, threads", launch: .alone,
        settings: ["parallel.threads_per_rank=2"]),
      Case(testDescription: "ranks with unequal work", launch: .ranks(4)),
      Case(
        testDescription: "states carried, moments sharded", launch: .ranks(2),
        settings: ["train.state_passing=1", "parallel.optimizer_sharding=zero1"]),
      Case(
        testDescription: "shared sequences, states carried", launch: .ranks(4),
        settings: ["parallel.sequence_ranks=2", "train.state_passing=1"]),
      Case(
        testDescription: "truncated, no exchange meanwhile", launch: .ranks(2),
        settings: ["train.truncated_backpropagation=true", "parallel.overlap=false"]),
      Case(
        testDescription: "summed by MPI", launch: .ranks(4),
        settings: ["parallel.reproducible=false"]),
    ]

    /// The step under way is given up: it is not in the metrics, and the one before it is saved.
    @Test("the step under way is given up, also when only the last rank is asked", arguments: cases)
    func step(_ c: Case) throws {
      let job = try TrainingJob(Self.longSteps + c.settings)
      let process = try job.start(c.launch, run: "run")
      process.wait { job.rows("run").count == 1 }
      kill(try #require(process.ranks(c.launch).max()), SIGUSR2)
      let result = process.wait()
      #expect(result.code == 75, "\(result.stderr)")
      #expect(result.stderr.contains("stopped by SIGUSR2"), "\(result.stderr)")
      #expect(result.stderr.contains(" after step 1; start again to resume"), "\(result.stderr)")
      #expect(result.errorLines == [])
      #expect(job.rows("run").count == 1)
      #expect(try job.checkpoints("run") == ["step-00000001"])
      let resumed = try job.finish(c.launch, run: "run")
      #expect(try job.finish(c.launch, run: "whole") == resumed)
    }

    @Test("the first step is given up too: there is nothing to save")
    func firstStep() throws {
      let job = try TrainingJob(Self.longSteps)
      let process = try job.start(.ranks(2), run: "run")
      process.wait { FileManager.default.fileExists(atPath: job.output("run") + "/metrics.jsonl") }
      kill(try #require(process.children.max()), SIGTERM)
      let result = process.wait()
      #expect(result.code == 75 && result.errorLines == [], "\(result.stderr)")
      #expect(result.stderr.contains(" after step 0"), "\(result.stderr)")
      #expect(job.rows("run").isEmpty)
      #expect(!FileManager.default.fileExists(atPath: job.output("run") + "/checkpoints"))
    }

    static let evaluations = [
      "{every: 2, tasks: [{task: mqar, vocab: 64, samples: 100000, sequence_length: 256}]}",
      "{every: 2, tasks: [{task: mqar, vocab: 64, samples: 1, sequence_length: 8000000}]}",
    ]

    @Test(
      "an evaluation is given up and made up for at the next start, the last one too",
      arguments: evaluations, [2, 4])
    func evaluation(_ section: String, steps: Int) throws {
      let job = try TrainingJob(["checkpoint.every=2", "train.steps=\(steps)"])
      let process = try job.start(.ranks(2), run: "run", ["evaluation=" + section])
      process.wait { (try? job.checkpoints("run"))?.isEmpty == false }
      // The lead measures; the other rank waits, and is the one that is asked.
      usleep(100_000)
      kill(try #require(process.children.max()), SIGTERM)
      let result = process.wait()
      #expect(result.code == 75 && result.errorLines == [], "\(result.stderr)")
      #expect(result.stderr.contains("step 2  evaluation interrupted"), "\(result.stderr)")
      #expect(result.stderr.contains("stopped by SIGTERM on rank 1 after step 2"))
      let path = job.output("run") + "/evaluation.jsonl"
      #expect(!FileManager.default.fileExists(atPath: path))
      #expect(try job.checkpoints("run") == ["step-00000002"])
      let short = section.replacing("100000", with: "2").replacing("8000000", with: "64")
      _ = try job.finish(.ranks(2), run: "run", ["evaluation=" + short])
      let rows = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
      #expect(rows.map { $0.prefix(12) } == [2, 4].prefix(steps / 2).map { "{ \"step\": \($0)," })
    }

    @Test("SIGQUIT saves, and a second SIGINT ends the run at once with its last checkpoint")
    func terminals() throws {
      let job = try TrainingJob([
        "train.steps=100000", "checkpoint.every=2", "train.sequences_per_step=2",
        "data.sequence_length=4096", "train.segment_length=4096",
        "train.schedule={kind: constant, warmup_steps: 0}",
      ])
      let process = try job.start(.alone, run: "run")
      process.wait { job.rows("run").count >= 3 }
      process.send(SIGQUIT)
      let saved = process.wait()
      #expect(saved.code == 75 && saved.stderr.contains("stopped by SIGQUIT"), "\(saved.stderr)")
      let last = job.rows("run").count
      #expect(try job.checkpoints("run").last?.hasSuffix("0\(last)") == true)
      let again = try job.start(.ranks(2), run: "run")
      again.wait { job.rows("run").count >= last + 3 }
      let ranks = again.ranks(.ranks(2))
      // The other rank does not answer, so the run cannot stop as the first signal asks.
      kill(try #require(ranks.max()), SIGSTOP)
      for _ in 1...2 { ChildProcess.deliver(SIGINT, to: try #require(ranks.min())) }
      #expect(again.wait().code == 128 + SIGINT)
      let checked = try ChildProcess(
        [TrainingJob.products + "/statex", "checkpoint", "verify", job.output("run")],
        directory: job.directory.path
      ).wait()
      #expect(checked.code == 0, "\(checked.stdout)\(checked.stderr)")
    }

    @Test("with --debug signals do what they do to any program", arguments: [SIGTERM, SIGUSR2])
    func debug(_ signal: Int32) throws {
      let job = try TrainingJob([
        "model.config.hidden_size=1024", "model.config.intermediate_size=4096",
      ])
      let process = try job.start(.alone, run: "run", ["--debug"])
      usleep(700_000)
      process.send(signal)
      #expect(process.wait().code == 128 + signal)
    }
  }
}
