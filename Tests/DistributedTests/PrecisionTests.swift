import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Training with bf16 products.
  @Suite("bf16 products in training")
  struct PrecisionTests {
    @Test("loss, gradient norm and weights depend neither on ranks nor on threads")
    func sameBits() throws {
      for model in [[], [TrainingJob.mamba2]] {
        let job = try TrainingJob(
          ["train.precision=bf16", "train.steps=4", "train.segment_length=48"] + model)
        let reference = try job.finish(.alone, run: "one")
        #expect(
          try job.finish(.alone, run: "threads", ["parallel.threads_per_rank=2"]) == reference)
        #expect(try job.finish(.ranks(2), run: "ranks") == reference)
        let full = try job.finish(.alone, run: "full", ["train.precision=fp32"])
        #expect(full.rows != reference.rows)
      }
    }

    @Test("a resumed run converts the weights it has read, and its checkpoint names the products")
    func resumes() throws {
      let job = try TrainingJob([
        "train.precision=bf16", "train.steps=4", "train.schedule={kind: constant}",
      ])
      let reference = try job.finish(.alone, run: "whole")
      _ = try job.finish(.alone, run: "parts", ["train.steps=2"])
      #expect(try job.finish(.alone, run: "parts") == reference)
      let manifest = try String(
        contentsOfFile: job.output("whole") + "/checkpoints/step-00000004/manifest.json",
        encoding: .utf8)
      #expect(manifest.contains("bf16 products ("))
    }

    @Test("200 steps of the demonstration's model: the loss stays within 1 % of fp32's")
    func lossCurve() throws {
      let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
      let job = try TrainingJob()
      try job.write(
        try String(
          contentsOf: root.appendingPathComponent("configs/demo/base.yaml"), encoding: .utf8),
        to: "recipe.yaml")
      let settings = [
        "train.steps=200", "metrics.log_every=1", "checkpoint.every=0",
        "train.optimizer.lr=4.0e-3",
      ]
      var losses: [String: [Double]] = [:]
      for precision in ["fp32", "bf16"] {
        _ = try job.finish(.alone, run: precision, settings + ["train.precision=\(precision)"])
        losses[precision] = try job.losses(precision)
      }
      let (full, half) = (try #require(losses["fp32"]), try #require(losses["bf16"]))
      #expect(full.count == 200 && half.count == 200 && full != half)
      // Means of twenty steps. At the recipe's own rate of 8e-3 the loss of this small model falls in
      // sudden turns, which any rounding moves by some steps.
      for first in stride(from: 0, to: 200, by: 20) {
        let (a, b) = (full[first..<(first + 20)].mean, half[first..<(first + 20)].mean)
        #expect(abs(a - b) < 0.01 * a, "steps \(first + 1) to \(first + 20): \(a), \(b)")
      }
    }
  }
}

extension ArraySlice where Element == Double {
  fileprivate var mean: Double { reduce(0, +) / Double(count) }
}
