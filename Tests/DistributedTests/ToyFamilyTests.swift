import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// A model family that is defined in Tests and registered, and of which no source knows.
  @Suite("a family of one's own")
  struct ToyFamilyTests {
    private static let model =
      "model.config={model_type: moving_average, hidden_size: 32, channels: 24, "
      + "num_hidden_layers: 2, vocab_size: 64, tie_word_embeddings: true}"

    private func job(_ settings: [String] = []) throws -> TrainingJob {
      let job = try TrainingJob([Self.model, "train.segment_length=24"] + settings)
      job.program = "toy-family"
      return job
    }

    @Test("its gradients are those of its naive twin")
    func gradients() throws {
      let job = try job()
      let result = try job.start(.alone, run: "debug", ["--debug"]).wait()
      #expect(result.code == 0, "\(result.stderr)")
      #expect(result.stdout.contains("gradients: pass"), "\(result.stdout)")
    }

    @Test(
      "it trains, learns, and resumes on other ranks, expanded or not", arguments: [false, true])
    func training(expanded: Bool) throws {
      let expansion = "expansion={layers: [1], channel_factor: 3}"
      let settings = ["train.steps=16", "checkpoint.every=8", "train.optimizer.lr=0.03"]
      let job = try job(settings + (expanded ? [expansion] : []))
      let reference = try job.finish(.alone, run: "whole")
      let losses = try job.losses("whole")
      #expect(losses.count == 16 && losses[12...].allSatisfy { $0 < losses[0] - 0.1 }, "\(losses)")
      #expect(try job.finish(.ranks(2), run: "parts") == reference)
      try FileManager.default.removeItem(
        atPath: job.output("parts") + "/checkpoints/step-00000016")
      #expect(try job.finish(.ranks(3), run: "parts") == reference)
    }

    @Test("it is expanded, exported, imported and evaluated")
    func interop() throws {
      let job = try job()
      _ = try job.finish(.alone, run: "whole")
      let tokens = try job.writeTokens("text", count: 1000, vocabulary: 64) { _ in nil }
      let check = try ChildProcess(
        [
          TrainingJob.products + "/toy-family", "check", job.output("whole") + "/export", tokens,
          job.output("expanded"),
        ], directory: job.directory.path
      ).wait()
      #expect(check.code == 0 && check.stdout.contains("pass"), "\(check.stdout)\(check.stderr)")
    }
  }
}
