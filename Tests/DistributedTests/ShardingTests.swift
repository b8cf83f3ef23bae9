import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Sharded and rounded moments, and the exchange during backward.
  @Suite("sharded optimizer and overlapped exchange")
  struct ShardingTests {
    static let zero1 = "parallel.optimizer_sharding=zero1"

    @Test(
      "zero1 gives the bits of none on any number of ranks",
      arguments: [[], ["train.segment_length=24"], ["train.optimizer.moments=bf16"]])
    func equalBits(_ settings: [String]) throws {
      let job = try TrainingJob(["train.steps=4"] + settings)
      let reference = try job.finish(.alone, run: "none")
      #expect(reference.rows.count == 4)
      for ranks in 1...4 {
        let outcome = try job.finish(.ranks(ranks), run: "zero\(ranks)", [Self.zero1])
        #expect(outcome == reference, "\(ranks) ranks")
      }
    }

    @Test("an arena of several buckets, sharded or not, overlapped or not")
    func buckets() throws {
      // 20,000 rows of 288 make 5.8 M parameters: two buckets.
      let job = try TrainingJob([
        "train.steps=2", "train.sequences_per_step=5", "model.config.hidden_size=288",
        "model.config.vocab_size=20000", "checkpoint.every=0",
      ])
      let reference = try job.finish(.alone, run: "alone")
      for (index, settings) in [
        ["parallel.overlap=false"], ["parallel.overlap=true"], [Self.zero1],
        [Self.zero1, "parallel.overlap=false"],
      ].enumerated() {
        for ranks in [2, 3] {
          let run = "run\(index)-\(ranks)"
          #expect(try job.finish(.ranks(ranks), run: run, settings) == reference, "\(settings)")
          try FileManager.default.removeItem(atPath: job.output(run))
        }
      }
    }

    @Test(
      "overlapping changes no bit", arguments: [[], ["train.segment_length=24"], [Self.zero1]])
    func overlap(_ settings: [String]) throws {
      let job = try TrainingJob(["train.steps=3", "train.sequences_per_step=7"] + settings)
      let reference = try job.finish(.alone, run: "alone")
      for overlap in [true, false] {
        for ranks in [2, 4] {
          let outcome = try job.finish(
            .ranks(ranks), run: "run\(ranks)\(overlap)", ["parallel.overlap=\(overlap)"])
          #expect(outcome == reference, "\(ranks) ranks, overlap \(overlap)")
        }
      }
      #expect(job.lastRow("run2true").contains("\"exchange_seconds\""))
      #expect(job.lastRow("run2true").contains("\"overlapped_seconds\""))
    }

    @Test(
      "a checkpoint does not depend on who holds which moments",
      arguments: [
        [], ["train.optimizer.moments=bf16"],
        ["expansion={layers: [1], heads: 1}", "train.trainable=expanded"],
      ])
    func resumption(_ settings: [String]) throws {
      let job = try TrainingJob(
        ["train.schedule={kind: constant, warmup_steps: 1}", "checkpoint.every=0"] + settings)
      let reference = try job.finish(.alone, run: "whole", ["train.steps=6"])
      #expect(reference.rows.count == 6)
      let parts: [(TrainingJob.Launch, [String])] = [
        (.ranks(4), ["train.steps=2", Self.zero1]), (.ranks(2), ["train.steps=4"]),
        (.ranks(3), ["train.steps=6", Self.zero1]),
      ]
      var outcome: TrainingJob.Outcome?
      for (launch, arguments) in parts {
        outcome = try job.finish(launch, run: "parts", arguments)
      }
      #expect(outcome == reference)
      #expect(
        try job.checkpoints("parts")
          == ["step-00000002", "step-00000004", "step-00000006"].suffix(2))
    }

    @Test("moments in bf16 train to nearly the same loss, and are not exchanged for others")
    func halves() throws {
      let job = try TrainingJob(["train.steps=20"])
      _ = try job.finish(.alone, run: "fp32")
      let exact = try job.lastLoss("fp32")
      _ = try job.finish(.ranks(2), run: "bf16", ["train.optimizer.moments=bf16"])
      let rounded = try job.lastLoss("bf16")
      #expect(rounded != exact && abs(rounded - exact) < 0.02 * exact)
      let other = try job.start(.alone, run: "bf16", ["train.steps=21"]).wait()
      #expect(other.code == 64 && other.errorLines.count == 1, "\(other.stderr)")
      #expect(other.stderr.contains("train.optimizer.moments"), "\(other.stderr)")
    }

    @Test("sharded moments without the tree train to nearly the same loss")
    func plain() throws {
      let job = try TrainingJob()
      _ = try job.finish(.alone, run: "tree")
      let expected = try job.lastLoss("tree")
      _ = try job.finish(.ranks(3), run: "plain", [Self.zero1, "parallel.reproducible=false"])
      #expect(abs(try job.lastLoss("plain") - expected) < 1e-3 * expected)
    }

    @Test("a gradient that is no number is named by all ranks alike")
    func notFinite() throws {
      let job = try TrainingJob(["train.optimizer.lr=1.0e+30", "train.optimizer.grad_clip=0"])
      var lines: Set<String> = []
      for arguments in [[], [Self.zero1]] {
        let result = try job.start(.ranks(3), run: "run\(arguments.count)", arguments).wait()
        #expect(result.code == 70 && result.errorLines.count == 1, "\(result.stderr)")
        lines.formUnion(result.errorLines)
      }
      #expect(lines.count == 1, "\(lines)")
    }
  }
}

extension TrainingJob {
  /// The last line of a run's metrics.
  func lastRow(_ run: String) -> String {
    let data = FileManager.default.contents(atPath: output(run) + "/metrics.jsonl") ?? Data()
    return String(decoding: data, as: UTF8.self).split(separator: "\n").last.map(String.init) ?? ""
  }
}
