import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Stopping on signals and going on, on any number of ranks.
  @Suite("resumption")
  struct ResumptionTests {
    /// Steps long enough that a signal finds the run at work.
    private static let settings = [
      "train.steps=12", "data.sequence_length=128", "train.segment_length=128",
      "checkpoint.every=5",
    ]

    /// Starts a run, sends `signals` once `rows` steps are logged, and returns its end.
    private func stop(
      _ job: TrainingJob, _ launch: TrainingJob.Launch, run: String, afterRow rows: Int,
      signals: [Int32], toRank: Bool = false
    ) throws -> ChildProcess.Result {
      let process = try job.start(launch, run: run)
      process.wait { job.rows(run).count >= rows }
      for signal in signals {
        if toRank, let rank = process.children.last {
          kill(rank, signal)
        } else {
          process.send(signal)
        }
        usleep(2000)
      }
      return process.wait()
    }

    @Test(
      "three stops and three resumptions on other ranks give the bits of one run",
      arguments: [[], ["train.state_passing=0.8"]])
    func chain(_ settings: [String]) throws {
      let job = try TrainingJob(Self.settings + settings)
      let reference = try job.finish(.alone, run: "whole")
      #expect(reference.rows.count == 12)
      let parts: [(TrainingJob.Launch, Int)] = [(.ranks(2), 1), (.alone, 4), (.ranks(3), 8)]
      for (launch, row) in parts {
        let result = try stop(job, launch, run: "parts", afterRow: row, signals: [SIGUSR1])
        #expect(result.code == 75, "\(launch): \(result.stderr)")
        #expect(result.stderr.contains("stopped by SIGUSR1"))
        #expect(result.errorLines == [])
        let last = job.rows("parts").count
        #expect(last >= row && last < 12)
        let name = "step-" + String(repeating: "0", count: last < 10 ? 7 : 6) + "\(last)"
        #expect(try job.checkpoints("parts").last == name)
      }
      #expect(try job.finish(.ranks(4), run: "parts") == reference)
      let again = try job.start(.alone, run: "parts").wait()
      #expect(again.code == 0, "a finished run is finished: \(again.stderr)")
      #expect(try job.outcome("parts") == reference)
    }

    @Test(
      "SIGTERM and SIGINT save; so does a signal that only one rank gets; a second one is harmless")
    func otherSignals() throws {
      let job = try TrainingJob(Self.settings)
      let reference = try job.finish(.alone, run: "whole")
      let cases: [(TrainingJob.Launch, [Int32], Bool)] = [
        (.alone, [SIGTERM], false), (.alone, [SIGINT, SIGTERM], false),
        (.alone, [SIGUSR1, SIGUSR1], false), (.ranks(3), [SIGTERM], true),
      ]
      for (index, (launch, signals, toRank)) in cases.enumerated() {
        let run = "run\(index)"
        let result = try stop(
          job, launch, run: run, afterRow: 2, signals: signals, toRank: toRank)
        #expect(result.code == 75, "\(signals) \(launch): \(result.stderr)")
        #expect(try job.finish(.alone, run: run) == reference)
      }
    }

    @Test("a damaged newest checkpoint is told and passed over", arguments: ["shard", "manifest"])
    func damage(_ what: String) throws {
      let job = try TrainingJob(Self.settings)
      let reference = try job.finish(.alone, run: "whole")
      let result = try stop(job, .ranks(2), run: "hurt", afterRow: 7, signals: [SIGUSR1])
      #expect(result.code == 75)
      let newest = try #require(try job.checkpoints("hurt").last)
      #expect(newest != "step-00000005")
      let directory = job.output("hurt") + "/checkpoints/" + newest
      let names = try FileManager.default.contentsOfDirectory(atPath: directory)
      let name = try #require(names.first { $0.contains(what) }, "\(names)")
      let url = URL(fileURLWithPath: directory + "/" + name)
      var bytes = try Data(contentsOf: url)
      if what == "shard" {
        bytes[bytes.count / 2] ^= 4
      } else {
        bytes.removeLast(bytes.count / 2)
      }
      try bytes.write(to: url)
      let process = try job.start(.ranks(3), run: "hurt").wait()
      #expect(process.code == 0, "\(process.stderr)")
      #expect(process.stderr.contains("warning: skipping a damaged checkpoint"))
      #expect(process.stderr.contains("resuming after step 5"))
      #expect(try job.outcome("hurt") == reference)
      let left = try job.checkpoints("hurt").filter { $0.hasSuffix(".damaged") }
      #expect(left == [newest + ".damaged"])
    }

    @Test("where no checkpoint is valid, the run ends with what is wrong with each, and what to do")
    func allDamaged() throws {
      let job = try TrainingJob(["train.steps=4", "checkpoint.every=2"])
      _ = try job.finish(.ranks(2), run: "run")
      let names = try job.checkpoints("run")
      #expect(names == ["step-00000002", "step-00000004"])
      let checkpoints = job.output("run") + "/checkpoints"
      let manifest = checkpoints + "/step-00000004/manifest.json"
      try Data("{}".utf8).write(to: URL(fileURLWithPath: manifest))
      let files = try FileManager.default.contentsOfDirectory(atPath: checkpoints + "/" + names[0])
      let shards = files.filter { $0.hasPrefix("shard") }.sorted()
      // Both shards are damaged; the line has the first of them.
      for shard in shards {
        let url = URL(fileURLWithPath: "\(checkpoints)/\(names[0])/\(shard)")
        var bytes = try Data(contentsOf: url)
        bytes[bytes.count / 2] ^= 4
        try bytes.write(to: url)
      }
      let (rows, run) = (job.rows("run"), job.output("run"))
      for (launch, resume) in [
        (TrainingJob.Launch.alone, "auto"), (.ranks(2), "auto"), (.alone, run),
      ] {
        let result = try job.start(
          launch, run: "run", ["train.steps=5", "--resume", resume]
        ).wait()
        #expect(result.code == 65 && result.errorLines.count == 1, "\(launch): \(result.stderr)")
        let line = result.errorLines.first ?? ""
        #expect(line.hasPrefix("error: \(run) holds no valid checkpoint: \(manifest): "), "\(line)")
        #expect(line.contains("; \(checkpoints)/\(names[0])/\(shards[0]): "), "\(line)")
        #expect(!line.contains(shards[1]) && line.components(separatedBy: manifest).count == 2)
        #expect(line.hasSuffix("or move \(run)/checkpoints away to start over"), "\(line)")
        #expect(try job.checkpoints("run") == names)
        #expect(job.rows("run") == rows)
      }
      let none = try job.start(.alone, run: "other", ["--resume", job.directory.path]).wait()
      #expect(none.code == 64, "\(none.stderr)")
      #expect(none.errorLines.first?.contains("holds no checkpoint: --resume takes") == true)
    }

    @Test("checkpoints that cannot be read are not absent: no run begins again")
    func unreadable() throws {
      let job = try TrainingJob(["train.steps=2", "checkpoint.every=1"])
      _ = try job.finish(.alone, run: "run")
      let rows = job.rows("run")
      let checkpoints = job.output("run") + "/checkpoints"
      try FileManager.default.moveItem(atPath: checkpoints, toPath: job.output("elsewhere"))
      try FileManager.default.createSymbolicLink(
        atPath: checkpoints, withDestinationPath: "checkpoints")
      for launch in [TrainingJob.Launch.alone, .ranks(2)] {
        let result = try job.start(launch, run: "run", ["train.steps=3"]).wait()
        #expect(result.code == 74, "\(launch): \(result.stderr)")
        #expect(result.errorLines.count == 1, "\(result.stderr)")
        #expect(result.errorLines.first?.contains(checkpoints) == true, "\(result.stderr)")
        #expect(job.rows("run") == rows)
      }
    }

    @Test("nothing is overwritten or mixed: existing run, changed data, other seed")
    func refusals() throws {
      let job = try TrainingJob(["train.steps=2", "checkpoint.every=1"])
      let prefix = try job.writeTokens("text", count: 2000, vocabulary: 64) { _ in nil }
      let tokens = ["data.sources.0={tokens: \(prefix)}"]
      _ = try job.finish(.alone, run: "run", tokens)
      let before = try job.outcome("run")
      func refused(_ arguments: [String], says text: String) throws {
        for launch in [TrainingJob.Launch.alone, .ranks(2)] {
          let result = try job.start(launch, run: "run", arguments).wait()
          #expect(result.code == 64, "\(arguments) \(launch): \(result.stderr)")
          #expect(result.errorLines.count == 1, "\(result.stderr)")
          #expect(result.errorLines.first?.contains(text) == true, "\(result.stderr)")
        }
      }
      try refused(tokens + ["--resume", "never"], says: "--resume auto")
      try refused(tokens + ["run.seed=4", "train.steps=3"], says: "run.seed")
      try refused(tokens + ["train.micro_batch=2", "train.sequences_per_step=4"], says: "per_step")
      _ = try job.writeTokens("text", count: 2000, vocabulary: 64) { $0 == 900 ? 7 : nil }
      try refused(
        tokens + ["train.steps=3"],
        says: "data.sources.0: the checkpoint was made with \(prefix) (tokens ")
      #expect(try job.outcome("run") == before)
    }

    @Test("a second process cannot take a run directory that is in use")
    func locked() throws {
      let job = try TrainingJob(Self.settings)
      let first = try job.start(.alone, run: "run", ["train.steps=2000"])
      first.wait { job.rows("run").count >= 2 }
      for launch in [TrainingJob.Launch.alone, .ranks(2)] {
        let second = try job.start(launch, run: "run").wait()
        #expect(second.code == 64, "\(second.stderr)")
        #expect(second.errorLines.count == 1)
        #expect(second.errorLines.first?.contains("\(first.pid)") == true, "\(second.stderr)")
      }
      first.send(SIGTERM)
      #expect(first.wait().code == 75)
    }
  }
}
