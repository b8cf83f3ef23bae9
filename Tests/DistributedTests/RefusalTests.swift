import ChildPrograms
import Foundation
import Testing

extension DistributedTests {
  /// What a user can do wrong: one line, the right exit code, nothing half written.
  @Suite("bad input")
  struct RefusalTests {
    struct Case: CustomTestStringConvertible, Sendable {
      let testDescription: String
      let code: Int32
      /// Parts of the error line.
      let says: [String]
      /// Changes the job and returns arguments.
      let prepare: @Sendable (TrainingJob) throws -> [String]
      var launches: [TrainingJob.Launch] = [.alone, .ranks(2)]
    }

    static let cases = [
      Case(testDescription: "no recipe", code: 64, says: ["recipe.yaml"]) { job in
        try FileManager.default.removeItem(atPath: job.recipePath)
        return []
      },
      Case(testDescription: "a misspelt key", code: 64, says: ["step", "steps", "recipe.yaml"]) {
        job in
        let text = TrainingJob.recipe.replacingOccurrences(of: "  steps: 6", with: "  step: 6")
        try job.write(text, to: "recipe.yaml")
        return []
      },
      Case(testDescription: "a misspelt override", code: 64, says: ["train.micro_bach"]) { _ in
        ["train.micro_bach=2"]
      },
      Case(testDescription: "an unknown option", code: 64, says: ["--confg"]) { _ in
        ["--confg=x"]
      },
      Case(testDescription: "no such model", code: 74, says: ["nowhere"]) { job in
        try job.useModel(job.output("nowhere"))
        return []
      },
      Case(testDescription: "no such tokens", code: 74, says: ["nowhere"]) { job in
        ["data.sources.0={tokens: \(job.output("nowhere"))}"]
      },
      Case(testDescription: "truncated weights", code: 65, says: ["model.safetensors"]) { job in
        let model = try job.makeModel()
        let path = model + "/model.safetensors"
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        try bytes.dropLast(100).write(to: URL(fileURLWithPath: path))
        try job.useModel(model)
        return []
      },
      Case(testDescription: "truncated tokens", code: 65, says: ["text.bin"]) { job in
        let prefix = try job.writeTokens("text", count: 2000, vocabulary: 64) { _ in nil }
        let bytes = try Data(contentsOf: URL(fileURLWithPath: prefix + ".bin"))
        try bytes.dropLast(100).write(to: URL(fileURLWithPath: prefix + ".bin"))
        return ["data.sources.0={tokens: \(prefix)}"]
      },
      Case(
        testDescription: "a token outside the vocabulary, late in the data", code: 65,
        says: ["text.bin: token 900: id 64, in document 1, is outside the vocabulary of 64"]
      ) { job in
        let prefix = try job.writeTokens("text", count: 4000, vocabulary: 64) {
          $0 == 900 ? 64 : nil
        }
        return ["data.sources.0={tokens: \(prefix)}"]
      },
      Case(
        testDescription: "more ranks than micro-batches", code: 64, says: ["3 ranks"],
        prepare: { _ in ["train.sequences_per_step=2"] }, launches: [.ranks(3)]),
      Case(testDescription: "heads that do not divide", code: 65, says: ["num_heads"]) { _ in
        ["model.config.num_heads=5"]
      },
    ]

    @Test("one line, one exit code, nothing written", arguments: cases)
    func refuses(_ c: Case) throws {
      let job = try TrainingJob()
      let arguments = try c.prepare(job)
      let before = job.files()
      for launch in c.launches {
        let result = try job.start(launch, run: "run", arguments).wait()
        #expect(result.code == c.code, "\(launch): \(result.stderr)")
        let errors = result.errorLines
        #expect(errors.count == 1, "\(launch): \(result.stderr)")
        for part in c.says { #expect(errors.first?.contains(part) == true, "\(errors)") }
        #expect(!result.stderr.contains("Fatal"), "\(result.stderr)")
        if case .alone = launch { #expect(result.stderr.split(separator: "\n").count == 1) }
        #expect(job.files() == before, "\(launch)")
      }
    }

    @Test(
      "a dry run and a debug run check the token ids too", arguments: ["--dry-run", "--debug"])
    func badTokenIsSeenEarly(_ option: String) throws {
      let job = try TrainingJob()
      let prefix = try job.writeTokens("text", count: 4000, vocabulary: 64) {
        $0 == 3999 ? 64 : nil
      }
      let arguments = [option, "data.sources.0={tokens: \(prefix)}"]
      let result = try job.start(.alone, run: "run", arguments).wait()
      #expect(result.code == 65, "\(result.stderr)")
      #expect(result.errorLines.first?.contains("token 3999: id 64") == true, "\(result.stderr)")
    }

    @Test(
      "--dry-run prints the plan and writes nothing",
      arguments: [
        TrainingJob.Launch.alone, .ranks(2),
      ])
    func dryRun(_ launch: TrainingJob.Launch) throws {
      let job = try TrainingJob(appending: "expansion: {layers: {every: 2}, heads: 1}\n")
      let before = job.files()
      let result = try job.start(launch, run: "run", ["--dry-run"]).wait()
      #expect(result.code == 0, "\(result.stderr)")
      #expect(result.errorLines == [])
      #expect(result.stdout.contains("parameters") && result.stdout.contains("nothing was written"))
      #expect(result.stdout.components(separatedBy: "nothing was written").count == 2, "said once")
      #expect(job.files() == before)
    }

    @Test("a scratch directory that is not there is one line, before anything is written")
    func scratch() throws {
      let job = try TrainingJob([
        "train.micro_batch=2", "train.segment_length=8", "train.memory_budget=770kB",
      ])
      for launch in [TrainingJob.Launch.alone, .ranks(2)] {
        let refused = try job.start(
          launch, run: "run",
          ["train.scratch=/nowhere", "parallel.reproducible=false", "train.memory_budget=540kB"]
        ).wait()
        #expect(refused.code == 74 && refused.errorLines.count == 1, "\(refused.stderr)")
        #expect(refused.stderr.contains("create a scratch file in /nowhere"))
        #expect(!FileManager.default.fileExists(atPath: job.output("run")))
      }
      let spilled = try job.finish(
        .alone, run: "spilled", ["train.scratch=\(job.directory.path)"])
      #expect(try job.finish(.alone, run: "kept", ["train.memory_budget=1GB"]) == spilled)
    }

    @Test("--debug passes on a sound build and refuses a launcher")
    func debug() throws {
      let job = try TrainingJob(["train.segment_length=32", "train.micro_batch=2"])
      let before = job.files()
      let result = try job.start(.alone, run: "run", ["--debug"]).wait()
      #expect(result.code == 0, "\(result.stdout)\(result.stderr)")
      #expect(result.stdout.contains("debug: pass") && !result.stdout.contains("FAIL"))
      #expect(job.files() == before)
      let two = try job.start(.ranks(2), run: "run", ["--debug"]).wait()
      #expect(two.code == 64 && two.errorLines.count == 1, "\(two.stderr)")
    }
  }
}

extension TrainingJob {
  /// Makes a Hugging Face directory by training one step, and returns its path.
  func makeModel() throws -> String {
    _ = try finish(.alone, run: "made", ["train.steps=2"])
    return output("made") + "/export"
  }

  /// Lets the recipe start from a model directory.
  func useModel(_ model: String) throws {
    let lines = Self.recipe.split(separator: "\n", omittingEmptySubsequences: false)
    let kept = lines.filter { !$0.contains("config:") && !$0.contains("intermediate_size") }
    let text = kept.joined(separator: "\n").replacingOccurrences(
      of: "model:", with: "model: {init: \(model)}")
    try write(text, to: "recipe.yaml")
  }
}
