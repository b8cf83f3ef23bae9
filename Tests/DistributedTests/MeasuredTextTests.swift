import ChildPrograms
import Foundation
import JSON
import Testing

extension DistributedTests {
  /// `evaluation.perplexity` of text that the run tokenizes.
  @Suite("measured text")
  struct MeasuredTextTests {
    /// A job that measures a fifth of its documents every third step; those of training are `a` or `b`.
    private func job(training: String) throws -> TrainingJob {
      let job = try TrainingJob([
        "model.config.vocab_size=257", "data.sequence_length=16", "train.segment_length=16",
        "train.sequences_per_step=6",
      ])
      for (name, numbers) in [("a.jsonl", 0..<60), ("b.jsonl", 60..<140)] {
        let lines = numbers.map { "{\"text\": \"document \($0) of \($0 * 7919 % 1000)\"}\n" }
        try job.write(lines.joined(), to: name)
      }
      job.settings += [
        "data.sources=[\(text(job, training))]", "evaluation={every: 3}",
        "evaluation.perplexity=\(text(job, "a"))",
      ]
      return job
    }

    private func text(_ job: TrainingJob, _ name: String) -> String {
      "{text: \(job.directory.path)/\(name).jsonl, tokenizer: byte, split: {held_out: 0.2}}"
    }

    private func rows(_ job: TrainingJob, _ run: String) throws -> [JSONValue] {
      let path = job.output(run) + "/evaluation.jsonl"
      return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map { line in
        try Array(line.utf8).withUnsafeBytes { try JSONValue(parsing: $0, source: path) }
      }
    }

    @Test(
      "is what `statex evaluate` measures of its tokens, on any number of ranks",
      arguments: ["a", "b"])
    func asItsTokens(training: String) throws {
      let job = try job(training: training)
      for (launch, run) in [(TrainingJob.Launch.alone, "alone"), (.ranks(3), "[3]")] {
        _ = try job.finish(launch, run: run)
        #expect(try rows(job, run) == rows(job, "alone"), "\(launch)")
      }
      let tokens = job.files().filter { $0.hasPrefix("alone/text/") && $0.hasSuffix(".idx") }
      // The text that is trained on and measured is tokenized once.
      #expect(tokens.count == (training == "a" ? 1 : 2), "\(tokens)")
      let row = try #require(try rows(job, "alone").last)
      var measured: [JSONValue] = []
      for prefix in tokens.map({ $0.dropLast(4) }) {
        let result = try ChildProcess(
          [
            TrainingJob.products + "/statex", "evaluate", "--model",
            job.output("alone") + "/checkpoints/step-00000006",
            "--perplexity", job.directory.path + "/" + prefix, "--held-out", "0.2",
            "--sequence-length", "16",
            "--segment-length", "16", "--json",
            job.directory.path + "/report.json",
          ], directory: job.directory.path
        ).wait(limit: 120)
        #expect(result.code == 0, "\(result.text)")
        let report = try JSONValue(contentsOf: job.directory.path + "/report.json")
        measured.append(try #require(report["perplexity"]))
      }
      #expect(row["step"]?.integer() == 6 && row["perplexity"]?["sequences"]?.integer() ?? 0 > 3)
      #expect(measured.contains(try #require(row["perplexity"])))
      #expect(training == "a" || measured[0] != measured[1])
    }

    @Test("a document that cannot be read ends the run with one line, on all ranks")
    func badDocument() throws {
      let job = try job(training: "b")
      try job.write("{\"text\": \"one\"}\nnot JSON\n{\"text\": \"two\"}\n", to: "a.jsonl")
      for launch in [TrainingJob.Launch.alone, .ranks(2)] {
        let result = try job.start(launch, run: launch.description).wait(limit: 120)
        #expect(result.code == 65, "\(result.text)")
        let errors = result.errorLines
        #expect(errors.count == 1 && errors[0].contains("a.jsonl: line 2"), "\(result.text)")
      }
    }

    @Test(
      "what cannot be measured is said before step 1, and by the plan",
      arguments: [
        ("evaluation.perplexity.text=/nowhere/*.jsonl", 74, "/nowhere/*.jsonl"),
        ("evaluation.perplexity.tokenizer=/nowhere", 74, "/nowhere"),
        (
          "evaluation.perplexity.tokens=a", 64, "give either `tokens` (files) or `text` (documents)"
        ),
        (
          "evaluation.perplexity.first_block=9", 64,
          "unknown key `evaluation.perplexity.first_block`"
        ),
        (
          "model.config.vocab_size=200", 64,
          "evaluation.perplexity produces token ids up to 256, but the model's vocab_size is 200"
        ),
      ])
    func refusals(setting: String, code: Int32, says: String) throws {
      let job = try job(training: "a")
      let settings = ["data.sources=[{task: mqar, pairs: 2, vocab: 64}]", setting]
      let before = job.files()
      let plan = try ChildProcess(
        [
          TrainingJob.products + "/statex", "plan", "--config", job.recipePath,
          "run.output=" + job.output("run"),
        ] + job.settings + settings, directory: job.directory.path
      ).wait(limit: 60)
      let trained = try job.start(.alone, run: "run", settings).wait(limit: 60)
      for result in [plan, trained] {
        #expect(result.code == code, "\(result.text)")
        let errors = result.errorLines
        #expect(errors.count == 1 && errors[0].contains(says), "\(result.text)")
      }
      #expect(job.files() == before)
    }
  }
}
