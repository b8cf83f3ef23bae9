import Foundation
import Testing

/// A task that cannot fit a length, and what its one line must say.
struct UnfitTask: Sendable, CustomTestStringConvertible {
  /// As on the command line.
  let task: String
  let says: [String]

  init(_ task: String, _ says: String...) { (self.task, self.says) = (task, says) }

  var testDescription: String { task }

  /// A task of each kind, at lengths or sizes of which the last does not fit.
  static let all = [
    UnfitTask("mqar:pairs=[4,40],vocab=128,sequence_length=[96,64]", "task mqar", "'pairs'"),
    UnfitTask(
      "copying:tokens=16,vocab=16,sequence_length=[64,20]",
      "task copying: option 'tokens' is 16: a sequence of 20 holds"),
    UnfitTask(
      "selective_copying:tokens=16,vocab=16,sequence_length=[64,20]",
      "task selective_copying: option 'tokens' is 16: a sequence of 20 holds"),
    UnfitTask(
      "string_copying:max_length=40,sequence_length=[256,30]",
      "task string_copying: option 'max_length' of 40 needs a sequence of"),
    UnfitTask("passkey:sequence_length=[400,190]", "task passkey", "the 190 of"),
    UnfitTask("niah_single_1:sequence_length=[900,300]", "task niah_single_1", "the 300 of"),
    UnfitTask("niah_multikey_3:sequence_length=[900,400]", "task niah_multikey_3", "the 400 of"),
    UnfitTask("niah_single_2:sequence_length=[900,300]", "task niah_single_2", "the 300 of"),
    UnfitTask("niah_near_miss:sequence_length=[4000,300]", "task niah_near_miss", "the 300 of"),
    UnfitTask("phonebook:entries=[4,40],sequence_length=600", "task phonebook", "the 600 of"),
    UnfitTask("text_copying:words=[4,400],sequence_length=900", "task text_copying", "the 900 of"),
    UnfitTask(
      "classification:demonstrations=[0,64],sequence_length=600", "task classification",
      "the 600 of the sequence; use a longer sequence"),
  ]
}

/// What cannot fit is said before anything is measured or written.
@Suite(.serialized) struct TaskFitTests {
  private let place: Workplace

  init() throws {
    place = try Workplace()
    try place.model()
    try FileManager.default.createDirectory(
      atPath: place.file("task"), withIntermediateDirectories: true)
    try place.write(
      "{\"format\": \"statex-task/1\", \"name\": \"long\", \"kind\": \"loglikelihood\", "
        + "\"metrics\": [\"perplexity\"], \"truncate\": {\"mode\": \"none\", \"context_tokens\": 20}}",
      "task/task.json")
    try place.write(
      "{\"id\": 1, \"context\": \"one\", \"target\": \"two\"}\n"
        + "{\"id\": 2, \"context\": \"\(String(repeating: "x", count: 40))\", \"target\": \"two\"}\n",
      "task/data.jsonl")
  }

  private func files() -> [String] {
    (FileManager.default.enumerator(atPath: place.path)?.allObjects as? [String] ?? []).sorted()
  }

  /// Runs a command, which must refuse with one line and write nothing.
  private func refused(_ arguments: [String], code: Int32, _ says: [String]) throws {
    let before = files()
    let done = try place.statex(arguments)
    #expect(done.code == code && done.output.isEmpty, "\(done)")
    let line = try #require(done.errorLine, "\(done)")
    for part in says { #expect(line.contains(part), "\(line)") }
    #expect(files() == before)
  }

  private let evaluate = [
    "evaluate", "--model", "model", "--tokenizer", "byte", "--samples", "2", "--json",
    "report.json", "--sample-log", "log.jsonl", "--task",
    "mqar:pairs=2,vocab=64,sequence_length=32,as=first",
  ]

  @Test(arguments: UnfitTask.all) func evaluateRefuses(_ unfit: UnfitTask) throws {
    // Of the task that fits nothing is measured either.
    try refused(evaluate + ["--task", unfit.task], code: 64, unfit.says)
  }

  @Test func evaluateRefusesATaskFile() throws {
    try refused(
      evaluate + ["--task-file", "task"], code: 65,
      ["task/data.jsonl:2: `context`: takes 40 tokens and 4 after it, `context_tokens` allows 20"])
    // The first sample fits.
    let done = try place.statex(evaluate + ["--task-file", "task:samples=1"])
    #expect(done.code == 0, "\(done)")
  }

  @Test func evaluateRefusesAnIdOfALaterPrompt() throws {
    // The model has no z, and the first prompt holds none.
    try place.model("narrow", vocabulary: 122)
    let task = [
      "evaluate", "--model", "narrow", "--tokenizer", "byte", "--task",
      "phonebook:entries=3,sequence_length=400", "--sample-log", "narrow.jsonl", "--samples",
    ]
    try refused(
      task + ["40"], code: 64, ["token id 122 is outside the model's vocabulary of 122"])
    let done = try place.statex(task + ["1"])
    #expect(done.code == 0, "\(done)")
  }

  @Test func probeRefusesRowsThatDoNotFit() throws {
    // A prompt and one token fit, the whole answer does not.
    try refused(
      [
        "probe", "model", "--tokenizer", "byte", "--samples", "3", "--json", "probe.json", "--task",
        "passkey:max_new_tokens=1,sequence_length=190",
      ], code: 64, ["task passkey: the shortest row has 193 tokens"])
  }
}
