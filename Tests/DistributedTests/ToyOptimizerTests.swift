import ChildPrograms
import Foundation
import JSON
import Testing
import ToyOptimizers

extension DistributedTests {
  /// Optimizers that are defined in Tests, with no moment, one and three.
  @Suite("an optimizer of one's own")
  struct ToyOptimizerTests {
    @Test(
      "it trains, learns, is sharded, saved, and resumed on other ranks",
      arguments: ToyOptimizer.allCases)
    func training(_ optimizer: ToyOptimizer) throws {
      let rates: [ToyOptimizer: Double] = [.descent: 0.3, .momentum: 0.1, .amsgrad: 0.01]
      let rate = try #require(rates[optimizer])
      let job = try TrainingJob([
        "train.steps=16", "checkpoint.every=8", "checkpoint.keep=3",
        "train.optimizer.lr=\(rate)", "--optimizer=\(optimizer)",
        "data.sources=[{task: markov, symbols: 8}]",
      ])
      job.program = "toy-family"
      let reference = try job.finish(.alone, run: "whole")
      let losses = try job.losses("whole")
      #expect(losses.count == 16 && losses[12...].allSatisfy { $0 < losses[0] - 1.5 }, "\(losses)")
      let sharded = ["parallel.optimizer_sharding=zero1"]
      #expect(try job.finish(.ranks(2), run: "parts", sharded) == reference)
      try FileManager.default.removeItem(
        atPath: job.output("parts") + "/checkpoints/step-00000016")
      #expect(try job.finish(.ranks(3), run: "parts", sharded) == reference)
      for step in ["step-00000008", "step-00000016"] {
        let path = job.output("parts") + "/checkpoints/\(step)/manifest.json"
        let stores = try JSONValue(contentsOf: path)["stores"]?.array ?? []
        #expect(stores.map { $0["name"]?.string } == ["parameters"] + optimizer.momentNames)
      }
    }
  }
}
