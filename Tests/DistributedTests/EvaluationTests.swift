import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// Evaluation during training, divided over ranks.
  @Suite("evaluation")
  struct EvaluationTests {
    @Test("rows do not depend on the number of ranks, and TensorBoard has every number")
    func ranks() throws {
      let job = try TrainingJob()
      let text = try job.writeTokens("held-out", count: 700, vocabulary: 64) { _ in nil }
      let settings = [
        "evaluation={every: 3, perplexity: {tokens: \(text), sequence_length: 50}, tasks: "
          + "[{task: mqar, pairs: [2, 4], vocab: 64, samples: 5, sequence_length: [48, 64]}]}"
      ]
      var rows: [String: Data] = [:]
      for launch in [TrainingJob.Launch.alone, .ranks(2), .ranks(3)] {
        let run = launch.description
        _ = try job.finish(launch, run: run, settings)
        let path = job.output(run) + "/evaluation.jsonl"
        rows[run] = try Data(contentsOf: URL(fileURLWithPath: path))
        let board = job.output(run) + "/tensorboard"
        let events = try FileManager.default.contentsOfDirectory(atPath: board).map {
          try Data(contentsOf: URL(fileURLWithPath: board + "/" + $0))
        }
        for name in ["perplexity/nll", "mqar_2/accuracy", "mqar_4/accuracy/48"] {
          #expect(events.contains { $0.range(of: Data(name.utf8)) != nil }, "\(name)")
        }
      }
      let alone = try #require(rows[TrainingJob.Launch.alone.description])
      #expect(alone.split(separator: UInt8(ascii: "\n")).count == 2)
      for (run, row) in rows { #expect(row == alone, "\(run)") }
    }
  }
}
