import Foundation
import JSON
import Testing

/// `statex evaluate` on one rank and several, stopped and gone on with.
@Suite(.serialized) struct EvaluateTests {
  private let place: Workplace
  private let arguments: [String]

  init() throws {
    place = try Workplace()
    try place.model()
    try place.tokenFile("text", count: 450)
    try FileManager.default.createDirectory(
      atPath: place.file("task"), withIntermediateDirectories: true)
    try place.write(
      "{\"format\": \"statex-task/1\", \"name\": \"letters\", \"kind\": \"multiple_choice\", "
        + "\"metrics\": [\"acc\", \"acc_norm\", \"macro_f1\"], \"fewshot\": {\"k\": 2}}",
      "task/task.json")
    let questions = (0..<20).map { number in
      "{\"id\": \"q\(number)\", \"context\": \"Letter \(number * 7 % 26):\", "
        + "\"choices\": [\"a\", \"bc\", \"\u{E9}\"], \"gold\": \(number % 3)}"
    }
    try place.write(questions.joined(separator: "\n"), "task/data.jsonl")
    arguments = [
      "evaluate", "--model", "model", "--perplexity", "text", "--sequence-length", "20",
      "--bits-per-byte", "--task", "mqar:pairs=[4,5],vocab=64,samples=7", "--task",
      "passkey:sequence_length=[300,500]", "--samples", "3", "--tokenizer", "byte",
      "--segment-length", "60", "--task-file", "task",
    ]
  }

  /// The report and the log of samples.
  private func evaluate(ranks: Int = 1, log: String) throws -> (report: [UInt8], log: [UInt8]) {
    let all = arguments + ["--json", "report.json", "--sample-log", log]
    let done = try ranks == 1 ? place.statex(all) : place.statex(ranks: ranks, all)
    #expect(done.code == 0, "\(done)")
    return (try place.bytes("report.json"), try place.bytes(log))
  }

  @Test(arguments: [2, 3]) func ranksDivideTheSamplesAndGiveTheSameBytes(_ ranks: Int) throws {
    let alone = try evaluate(log: "alone.jsonl")
    let shared = try evaluate(ranks: ranks, log: "shared.jsonl")
    #expect(shared.report == alone.report)
    #expect(shared.log == alone.log)
    let report = try place.json("report.json")
    #expect(report["perplexity"]?["sequences"]?.integer() == 22)
    #expect(try #require(report["perplexity"]?["stderr"]?.double) > 0)
    #expect(report["tasks"]?["letters"]?["samples"]?.integer() == 20)
    #expect(report["tasks"]?["letters"]?["metrics"]?["macro_f1"]?["stderr"]?.double ?? 0 > 0)
    // Bytes of ids below 256 are those ids.
    let bits = try #require(report["perplexity"]?["bits_per_byte"]?.double)
    let nats = try #require(report["perplexity"]?["nll"]?.double)
    #expect(abs(bits - nats / M_LN2) < 1e-12 * bits)
  }

  @Test func aMeasurementGoesOnWhereItWasKilled() throws {
    let whole = try evaluate(log: "whole.jsonl")
    let lines = whole.log.split(separator: UInt8(ascii: "\n"))
    #expect(lines.count == 1 + 22 + 14 + 6 + 20)
    // In the first line, after it, within a sample, and when all is done but the report.
    for (index, end) in [7, lines[0].count + 1, whole.log.count / 2, whole.log.count].enumerated() {
      let name = "cut-\(index).jsonl"
      try Data(whole.log[..<end]).write(to: URL(fileURLWithPath: place.file(name)))
      let resumed = try evaluate(ranks: index % 2 + 1, log: name)
      #expect(resumed.report == whole.report, "cut at \(end)")
      let found = resumed.log.split(separator: UInt8(ascii: "\n"))
      #expect(found.count == lines.count && Set(found) == Set(lines), "cut at \(end)")
    }
  }

  @Test func whatIsInTheLogIsNotMeasuredAgain() throws {
    _ = try evaluate(log: "log.jsonl")
    let text = String(decoding: try place.bytes("log.jsonl"), as: UTF8.self)
    let own = text.replacing("\"contains\": 0.0", with: "\"contains\": 0.5")
    #expect(own != text)
    try place.write(own, "log.jsonl")
    _ = try evaluate(log: "log.jsonl")
    #expect(try place.json("report.json")["tasks"]?["passkey"]?["contains"]?.double == 0.5)
  }

  @Test func aLogOfAnotherMeasurementIsRefused() throws {
    _ = try evaluate(log: "log.jsonl")
    let before = try place.bytes("log.jsonl")
    for (more, field) in [(["--seed", "1"], "seed"), (["--sequences", "3"], "perplexity")] {
      let done = try place.statex(arguments + ["--sample-log", "log.jsonl"] + more)
      #expect(done.code == 65 && done.errorLine?.contains("`\(field)`") == true, "\(done)")
    }
    try place.model("other", heads: 2)
    let done = try place.statex(
      arguments + ["--sample-log", "log.jsonl", "--model", "other"])
    #expect(done.code == 65 && done.errorLine?.contains("`model`") == true, "\(done)")
    try place.write("notes\n", "notes")
    #expect(try place.statex(arguments + ["--sample-log", "notes"]).code == 65)
    #expect(try place.bytes("log.jsonl") == before && place.bytes("notes") == Array("notes\n".utf8))
  }

  @Test func aTaskFileIsMeasuredInPartUnderAnotherName() throws {
    _ = try evaluate(log: "log.jsonl")
    let whole = try place.json("report.json")
    let few = ["--task-file", "task:samples=6,as=few", "--task-file", "task:as=all,samples=99"]
    let done = try place.statex(arguments + few + ["--json", "parts.json"])
    #expect(done.code == 0, "\(done)")
    let tasks = try #require(try place.json("parts.json")["tasks"])
    #expect(tasks["few"]?["samples"]?.integer() == 6)
    #expect(tasks["all"] == whole["tasks"]?["letters"] && tasks["letters"] == tasks["all"])
    // A log of all samples is another measurement than one of the first.
    let shorter = arguments.map { $0 == "task" ? "task:samples=6" : $0 }
    let refused = try place.statex(shorter + ["--sample-log", "log.jsonl"])
    #expect(refused.code == 65 && refused.errorLine?.contains("`task_files`") == true, "\(refused)")
    // Its first samples are those of the whole.
    #expect(try place.statex(shorter + ["--sample-log", "few.jsonl"]).code == 0)
    func samples(_ log: String) throws -> [Substring] {
      String(decoding: try place.bytes(log), as: UTF8.self).split(separator: "\n")
        .filter { $0.contains("\"letters\"") && !$0.contains("statex_samples") }
    }
    let all = try samples("log.jsonl")
    #expect(all.count == 20)
    #expect(try samples("few.jsonl").map(Self.scores) == all.prefix(6).map(Self.scores))
  }

  /// A sample without what depends on those computed with it.
  private static func scores(_ line: Substring) -> String {
    String(line).replacing(/, "computed_tokens": [0-9.]+/, with: "")
  }

  @Test(arguments: [
    ("task:samples=0", 64, "`samples`: must be at least 1"),
    ("task:sample=3", 64, "did you mean `samples`?"),
    ("task:file=x", 64, "unknown key `file`"),
    ("task:as=letters", 64, "two tasks would be reported as 'letters'"),
    ("task:samples", 74, "task:samples/task.json"),
  ])
  func wrongOptionsOfATaskFile(argument: String, code: Int, says: String) throws {
    let done = try place.statex(arguments + ["--task-file", argument])
    #expect(done.code == code && done.errorLine?.contains(says) == true, "\(done)")
  }

  @Test func anErrorOfAllRanksIsOneLine() throws {
    for (change, code) in [
      (["--task", "mqar:pairs=400,vocab=64"], Int32(64)), (["--perplexity", "nowhere"], 74),
      (["--samples", "0"], 64),
    ] {
      let done = try place.statex(ranks: 2, arguments + change)
      let errors = done.errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
      #expect(done.code == code && errors.count == 1, "\(done)")
    }
  }
}
