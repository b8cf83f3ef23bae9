import ChildPrograms
import Foundation
import JSON
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

    /// Two tasks in files, one on text and one on ids.
    private func writeTasks(_ job: TrainingJob) throws {
      for name in ["letters", "ids"] {
        try FileManager.default.createDirectory(
          atPath: job.directory.path + "/" + name, withIntermediateDirectories: true)
      }
      try job.write(
        "{\"format\": \"statex-task/1\", \"name\": \"letters\", \"kind\": \"multiple_choice\", "
          + "\"metrics\": [\"acc\", \"acc_norm\"], \"fewshot\": {\"k\": 2}, \"group_by\": [\"half\"]}",
        to: "letters/task.json")
      let questions = (0..<21).map { number in
        "{\"id\": \(number), \"context\": \"Letter \(number * 7 % 26):\", \"gold\": \(number % 3), "
          + "\"choices\": [\"a\", \"bc\", \"def\"], \"meta\": {\"half\": \(number / 11)}}\n"
      }
      try job.write(questions.joined(), to: "letters/data.jsonl")
      try job.write(
        "{\"format\": \"statex-task/1\", \"name\": \"ids\", \"kind\": \"token_recall\", "
          + "\"metrics\": [\"token_accuracy\"]}", to: "ids/task.json")
      let rows = (0..<9).map { number in
        "{\"id\": \"r\(number)\", \"inputs\": [\(number), 5, 6, \(number)], \"labels\": [-100, 6, -100, 5]}\n"
      }
      try job.write(rows.joined(), to: "ids/data.jsonl")
    }

    @Test("tasks in files score in a run what `statex evaluate` says of its checkpoint")
    func taskFiles() throws {
      let job = try TrainingJob(["model.config.vocab_size=257", "train.steps=4"])
      try writeTasks(job)
      let path = job.directory.path + "/"
      let settings = [
        "evaluation={every: 2, tasks: [{file: \(path)letters, tokenizer: byte}, "
          + "{file: \(path)letters/task.json, samples: 5, as: few, tokenizer: byte}, {file: \(path)ids}]}"
      ]
      var rows: [String] = []
      for (launch, run) in [(TrainingJob.Launch.alone, "alone"), (.ranks(3), "three")] {
        _ = try job.finish(launch, run: run, settings)
        rows.append(
          try String(contentsOfFile: job.output(run) + "/evaluation.jsonl", encoding: .utf8))
        let board = job.output(run) + "/tensorboard"
        let events = try FileManager.default.contentsOfDirectory(atPath: board).map {
          try Data(contentsOf: URL(fileURLWithPath: board + "/" + $0))
        }
        for name in ["letters/acc", "letters/acc_norm", "few/acc", "ids/token_accuracy"] {
          #expect(events.contains { $0.range(of: Data(name.utf8)) != nil }, "\(name)")
        }
      }
      #expect(rows[0] == rows[1])
      let lines = rows[0].split(separator: "\n")
      #expect(lines.count == 2)
      for (step, line) in zip([2, 4], lines) {
        let result = try ChildProcess(
          [
            TrainingJob.products + "/statex", "evaluate", "--model",
            job.output("alone") + "/checkpoints/step-0000000\(step)", "--tokenizer", "byte",
            "--task-file", path + "letters", "--task-file", path + "letters:samples=5,as=few",
            "--task-file",
            path + "ids",
            "--segment-length", "64", "--json", path + "report.json",
          ], directory: job.directory.path
        ).wait(limit: 120)
        #expect(result.code == 0, "\(result.text)")
        let row = try Array(line.utf8).withUnsafeBytes {
          try JSONValue(parsing: $0, source: "row")
        }
        let report = try JSONValue(contentsOf: path + "report.json")
        #expect(row["step"]?.integer() == step && row["tasks"] == report["tasks"], "\(line)")
        #expect(row["tasks"]?["few"]?["samples"]?.integer() == 5)
        #expect(row["tasks"]?["letters"]?["samples"]?.integer() == 21)
        #expect(row["tasks"]?["ids"]?["token_accuracy"]?.double != nil)
      }
    }

    /// A recipe's evaluation that cannot be measured, and what is said.
    struct Unfit: Sendable, CustomTestStringConvertible {
      /// The list `evaluation.tasks`, or a source.
      let setting: String
      let code: Int32
      let says: String

      init(_ setting: String, _ says: String) { self.init(setting, 64, says) }

      init(_ setting: String, _ code: Int32, _ says: String) {
        (self.setting, self.code, self.says) = (setting, code, says)
      }

      var testDescription: String { setting }

      static let all = [
        Unfit("evaluation.tasks=[{task: mqar, pairs: 20, vocab: 64}]", "task mqar: option 'pairs'"),
        Unfit(
          "evaluation.tasks=[{task: copying, tokens: 9, sequence_length: [64, 12]}]",
          "option 'tokens' is 9: a sequence of 12 holds"),
        Unfit(
          "evaluation.tasks=[{task: passkey, tokenizer: byte, sequence_length: [400, 190]}]",
          "task passkey: the shortest row has"),
        Unfit(
          "evaluation.tasks=[{task: niah_single_2, tokenizer: byte}]",
          "task niah_single_2: the shortest row has"),
        Unfit(
          "evaluation.tasks=[{task: phonebook, tokenizer: byte, entries: 40, sequence_length: 600}]",
          "task phonebook: the shortest row has"),
        Unfit(
          "evaluation.tasks=[{task: classification, tokenizer: byte, demonstrations: 64}]",
          "task classification: the shortest row has"),
        Unfit(
          "data.sources=[{task: passkey, tokenizer: byte}]",
          "task passkey: the shortest row has"),
        Unfit(
          "evaluation.tasks=[{file: letters, tokenizer: byte, as: mqar}, {task: mqar, vocab: 64}]",
          "two tasks would be reported as 'mqar'"),
        Unfit("evaluation.tasks=[{file: letters}]", "the task letters needs a tokenizer"),
        Unfit("evaluation.tasks=[{file: nowhere}]", 74, "nowhere/task.json"),
        Unfit("evaluation.tasks=[{file: broken}]", 65, "broken/task.json:1: unknown key `nmae`"),
        Unfit(
          "evaluation.tasks=[{file: long, tokenizer: byte}]", 65,
          "long/data.jsonl:2: `context`: takes 40 tokens and 4 after it, `context_tokens` allows 20"
        ),
        Unfit(
          "evaluation.tasks=[{file: letters, task: mqar}]",
          "`evaluation.tasks.0.file`: give either `task`"),
        Unfit(
          "evaluation.tasks=[{file: letters, sample: 3}]", "unknown key `evaluation.tasks.0.sample`"
        ),
        Unfit(
          "evaluation.tasks=[{file: ids, samples: 0}]", "must be at least 1, found 0"),
      ]
    }

    @Test("what cannot be measured is said before step 1, and by the plan", arguments: Unfit.all)
    func unfit(_ unfit: Unfit) throws {
      let job = try TrainingJob(["model.config.vocab_size=257", "evaluation={every: 2}"])
      try writeTasks(job)
      for (name, change) in [("broken", "\"nmae\": 1"), ("long", "\"name\": \"long\"")] {
        try FileManager.default.createDirectory(
          atPath: job.directory.path + "/" + name, withIntermediateDirectories: true)
        try job.write(
          "{\"format\": \"statex-task/1\", \"kind\": \"loglikelihood\", \"metrics\": [\"perplexity\"], "
            + "\"truncate\": {\"mode\": \"none\", \"context_tokens\": 20}, \(change)}",
          to: name + "/task.json")
        try job.write(
          "{\"id\": 1, \"context\": \"one\", \"target\": \"two\"}\n{\"id\": 2, \"context\": \""
            + String(repeating: "x", count: 40) + "\", \"target\": \"two\"}\n",
          to: name + "/data.jsonl")
      }
      let setting = unfit.setting.replacing("{file: ", with: "{file: \(job.directory.path)/")
      let before = job.files()
      let plan = try ChildProcess(
        [
          TrainingJob.products + "/statex", "plan", "--config", job.recipePath,
          "run.output=" + job.output("run"),
        ] + job.settings + [setting], directory: job.directory.path
      ).wait(limit: 60)
      let trained = try job.start(.alone, run: "run", [setting]).wait(limit: 60)
      let ranks = try job.start(.ranks(2), run: "run", [setting]).wait(limit: 60)
      for result in [plan, trained, ranks] {
        #expect(result.code == unfit.code, "\(result.text)")
        let errors = result.errorLines
        #expect(errors.count == 1 && errors[0].contains(unfit.says), "\(result.text)")
      }
      #expect(job.files() == before)
    }
  }
}
