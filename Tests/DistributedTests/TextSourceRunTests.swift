import ChildPrograms
import Foundation
import Testing
import TokenData

extension DistributedTests {
  /// Runs that tokenize their text themselves.
  @Suite("text sources")
  struct TextSourceRunTests {
    private static let sequenceLength = 16

    /// A job on two files of text, no two samples of whose tokens are equal.
    private func job(_ options: String = "", _ settings: [String] = []) throws -> TrainingJob {
      let job = try TrainingJob(
        [
          "model.config.vocab_size=257", "data.sequence_length=\(Self.sequenceLength)",
          "train.segment_length=\(Self.sequenceLength)", "train.sequences_per_step=6",
        ] + settings)
      for (name, numbers) in [("a.jsonl", 0..<40), ("b.jsonl", 40..<61)] {
        let lines = numbers.map { "{\"text\": \"document \($0) of \($0 * 7919 % 1000)\"}\n" }
        try job.write(lines.joined(), to: name)
      }
      job.settings.append(
        "data.sources=[{text: \"\(job.directory.path)/?.jsonl\", tokenizer: byte\(options)}]")
      return job
    }

    /// The tokens of the job's text, tokenized by the command.
    private func tokens(_ job: TrainingJob) throws -> MegatronTokens {
      let prefix = job.directory.path + "/made"
      var work = TextTokenizer(tokenizer: ByteTokenizer(), outputPrefix: prefix)
      work.threads = 2
      _ = try work.run(try TextInput.resolve([job.directory.path + "/?.jsonl"]))
      return try MegatronTokens(prefix: prefix)
    }

    private func run(
      _ job: TrainingJob, _ launch: TrainingJob.Launch, _ name: String, _ arguments: [String] = []
    ) throws -> ChildProcess.Result {
      try job.start(launch, run: name, arguments).wait(limit: 120)
    }

    @Test("text trains as its tokens do, on any number of ranks")
    func asItsTokensDo() throws {
      let job = try job()
      let prefix = try tokens(job).prefix
      #expect(try run(job, .alone, "tokens", ["data.sources=[{tokens: \(prefix)}]"]).code == 0)
      let expected = try job.outcome("tokens")
      for (launch, name) in [(TrainingJob.Launch.alone, "alone"), (.ranks(3), "three")] {
        let result = try run(job, launch, name)
        #expect(result.code == 0, "\(result.text)")
        #expect(try job.outcome(name) == expected, "\(launch)")
      }
      #expect(job.rows("alone").count == 6)
      // The cache is the data set that the command makes, and is used again.
      let cache = try #require(
        job.files().first { $0.hasPrefix("alone/text/") && $0.hasSuffix(".bin") })
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: job.directory.path + "/" + cache))
          == Data(contentsOf: URL(fileURLWithPath: prefix + ".bin")))
      let again = try run(job, .ranks(2), "alone", ["train.steps=9"])
      #expect(again.code == 0 && !again.text.contains("tokenizing"), "\(again.text)")
    }

    @Test("ranks die and the tokens are lost, and every sample is used exactly once an epoch")
    func everySampleOnceAnEpoch() throws {
      let job = try job(", first_block: 160", ["train.steps=42", "checkpoint.every=2"])
      let tokens = try tokens(job)
      let perEpoch = (tokens.tokenCount - 1) / Self.sequenceLength
      let launches: [TrainingJob.Launch] = [.ranks(2), .ranks(3), .alone, .ranks(6)]
      let victims = [1, 2, 0, 5]
      var samples: [Int: [Int32]] = [:]
      for attempt in 0...4 {
        let isLast = attempt == 4
        let (code, read) = try job.record(
          launches[attempt % 4], "attempt-\(attempt)",
          killing: isLast ? -1 : victims[attempt], at: 45 * (attempt + 1))
        #expect((code == 0) == isLast, "attempt \(attempt) ended with \(code)")
        for (number, tokens) in read {
          #expect(samples[number] ?? tokens == tokens, "sample \(number) was another before")
          samples[number] = tokens
        }
        if attempt % 2 == 0 {
          try FileManager.default.removeItem(atPath: job.output("run") + "/text")
        }
      }
      #expect(samples.keys.sorted() == Array(0..<252))
      var windows: [[Int32]] = []
      for index in 0..<perEpoch {
        let window = UnsafeMutableBufferPointer<Int32>.allocate(capacity: Self.sequenceLength + 1)
        defer { window.deallocate() }
        try tokens.read(from: index * Self.sequenceLength, into: window, vocabularySize: 257)
        windows.append(Array(window))
      }
      #expect(Set(windows).count == perEpoch && 252 / perEpoch >= 2, "\(perEpoch) samples")
      for epoch in 0..<(252 / perEpoch) {
        let read = try (epoch * perEpoch..<(epoch + 1) * perEpoch).map {
          try #require(samples[$0])
        }
        #expect(Set(read) == Set(windows), "epoch \(epoch)")
        #expect(read != windows)
        let first = Set(read.prefix(10))
        #expect((first == Set(windows.prefix(10))) == (epoch == 0), "only the first has blocks")
      }
    }

    @Test("a run that waits for text stops when asked to, and goes on later")
    func stopsWhileWaiting() throws {
      let job = try job(", first_block: 1000000000")
      let line = "{\"text\": \"" + String(repeating: "word ", count: 4000) + "\"}\n"
      try job.write(String(repeating: line, count: 3000), to: "c.jsonl")
      let child = try job.start(.ranks(2), run: "run", ["checkpoint.every=0"])
      let text = job.output("run") + "/text"
      let end = ContinuousClock.now + .seconds(60)
      while (try? FileManager.default.contentsOfDirectory(atPath: text))?.isEmpty ?? true,
        ContinuousClock.now < end
      {
        usleep(5000)
      }
      usleep(100_000)
      kill(child.ranks(.ranks(2))[0], SIGTERM)
      let result = child.wait(limit: 60)
      #expect(result.code == 75, "\(result.text)")
      #expect(job.rows("run").isEmpty)
      #expect(try FileManager.default.contentsOfDirectory(atPath: text).count == 1)
      let again = try run(job, .alone, "run")
      #expect(again.code == 0, "\(again.text)")
    }

    @Test(
      "what cannot be is refused by name",
      arguments: [
        ("", ["model.config.vocab_size=256"], 64, "produces token ids up to 256"),
        (", end_of_text: 3", [], 64, "end_of_text`: is for token files without an index"),
        (", field: body", [], 65, "a.jsonl: line 1: has no member 'body'"),
        (", max_epochs: 0.5", [], 64, "0.85 times, and max_epochs is 0.5"),
        (", split: {held_out: 1.5}", [], 64, "held_out`: must be below 1"),
      ])
    func refusals(_ options: String, _ settings: [String], _ code: Int32, _ text: String) throws {
      let job = try job(options, settings + ["train.steps=10"])
      let result = try run(job, .ranks(2), "run")
      #expect(result.code == code, "\(result.text)")
      #expect(result.text.contains(text), "\(result.text)")
      #expect(result.text.split(separator: "\n").count { $0.contains("error:") } == 1)
    }

    @Test("plans and checks leave nothing behind")
    func nothingIsLeft() throws {
      let job = try job()
      let before = job.files()
      let plan = try run(job, .ranks(2), "run", ["--dry-run"])
      #expect(plan.code == 0 && plan.text.contains("bytes of text in 2 files"), "\(plan.text)")
      #expect(job.files() == before)
      let debug = try run(job, .alone, "run", ["--debug"])
      #expect(debug.code == 0 && debug.text.contains("debug: pass"), "\(debug.text)")
      #expect(job.files() == before)
    }
  }
}

extension ChildProcess.Result {
  /// All that was printed.
  var text: String { stdout + stderr }
}
