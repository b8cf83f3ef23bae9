import Evaluation
import Foundation
import JSON
import Testing
import TokenData

@Suite("Task files")
struct FileTaskTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func task(_ definition: String, _ lines: [String]) throws -> FileTask {
    let all = "{\"format\": \"statex-task/1\", \"name\": \"t\", " + definition + "}"
    try all.write(toFile: folder.path + "/task.json", atomically: true, encoding: .utf8)
    try lines.joined(separator: "\n")
      .write(toFile: folder.path + "/data.jsonl", atomically: true, encoding: .utf8)
    return try FileTask(directory: folder.path)
  }

  private func problem(_ definition: String, _ lines: [String], check: Bool = false) -> String? {
    do {
      let task = try task(definition, lines)
      if check { try task.check(vocabulary: 257, tokenizer: ByteTokenizer()) }
      return nil
    } catch let error as EvaluationError {
      return error.exitCode == 65 ? error.description : nil
    } catch {
      return "\(error)"
    }
  }

  private let choice = "\"kind\": \"multiple_choice\", \"metrics\": [\"acc\"]"
  private let generate = "\"kind\": \"generate\", \"metrics\": [\"contains\"]"
  private let right = "{\"id\": 1, \"context\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 0}"

  @Test("a wrong file names file, line and field")
  func wrongFiles() {
    let data = folder.path + "/data.jsonl"
    for (line, field) in [
      ("{\"id\": 2, \"context\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 2}", "`gold`"),
      ("{\"id\": 2, \"context\": \"q\", \"choices\": [\"a\", \"b\"]}", "`gold`"),
      ("{\"id\": 2, \"context\": \"q\", \"choices\": [\"a\"], \"gold\": 0}", "`choices`"),
      ("{\"id\": 2, \"context\": 7, \"choices\": [\"a\", \"b\"], \"gold\": 0}", "`context`"),
      ("{\"id\": 2.5, \"context\": \"q\", \"choices\": [\"a\", \"b\"], \"gold\": 0}", "`id`"),
      ("{\"id\": 2, \"contexts\": [\"a\", \"b\"], \"gold\": 0}", "`continuation`"),
      (right, "`id`"), ("nonsense", "JSON"),
    ] {
      let found = problem(choice, [right, "", line])
      #expect(found?.hasPrefix(data + ":3: ") == true, "\(line): \(found ?? "accepted")")
      #expect(found?.contains(field) == true, "\(line): \(found ?? "accepted")")
    }
    for (definition, field) in [
      ("\"kind\": \"choose\", \"metrics\": [\"acc\"]", "`kind`"),
      ("\"kind\": \"rolling\", \"metrics\": [\"acc\"]", "`metrics`"),
      ("\"kind\": \"multiple_choice\", \"metrics\": []", "`metrics`"),
      (choice + ", \"mach\": {}", "`mach`"), (choice + ", \"match\": {\"strip\": 1}", "strip"),
      (choice + ", \"fewshot\": {\"k\": 5}", "fewshot"),
      (choice + ", \"truncate\": {\"mode\": \"left\"}", "context_tokens"),
      (choice + ", \"generate\": {\"budget\": \"tokens\"}", "budget"),
      (choice + ", \"group_by\": [\"depth\"]", "`depth`"),
      (choice + ", \"score\": \"mean\"", "`score`"),
    ] {
      let found = problem(definition, [right])
      #expect(found?.contains(field) == true, "\(definition): \(found ?? "accepted")")
      // What `group_by` names is missing in the data.
      let file = field == "`depth`" ? "data.jsonl" : "task.json"
      #expect(found?.hasPrefix("\(folder.path)/\(file):1: ") == true, "\(found ?? "accepted")")
    }
    #expect(problem(choice, [right]) == nil)
  }

  @Test("a wrong field of task.json is on its own line")
  func linesOfTheDefinition() {
    for (definition, line, field) in [
      ("\n\"kind\": \"multiple_choice\",\n\"metrics\": [\n\"acc\",\n7]", 5, "`metrics`"),
      ("\n" + choice + ",\n\"match\": {\n\"strip\": 1}", 4, "`match.strip`"),
      ("\n" + choice + ",\n\n\"mach\":\n{}", 4, "`mach`"),
      ("\n" + choice + ",\n\"fewshot\": {\n\"seed\": 1}", 3, "`fewshot.k`"),
    ] {
      let found = problem(definition, [right])
      #expect(
        found?.hasPrefix("\(folder.path)/task.json:\(line): ") == true, "\(found ?? "accepted")")
      #expect(found?.contains(field) == true, "\(found ?? "accepted")")
    }
    #expect(problem("\n" + choice + ",\n{", [right])?.contains("line 3") == true)
  }

  @Test("what cannot fit a length is said before anything runs")
  func lengths() {
    let lines = [
      "{\"id\": \"short\", \"context\": \"12345\", \"answers\": [\"x\"]}",
      "{\"id\": \"long\", \"context\": \"1234567890123\", \"answers\": [\"x\"]}",
    ]
    let limit = ", \"truncate\": {\"mode\": \"none\", \"context_tokens\": 20}"
    let found = problem(generate + limit, lines, check: true)
    #expect(
      found?.contains("data.jsonl:2") == true && found?.contains("20") == true, "\(found ?? "")")
    #expect(problem(generate + limit, [lines[0]], check: true) == nil)
    #expect(problem(generate, lines, check: true) == nil, "any length by default")
    let ids = "\"kind\": \"token_recall\", \"metrics\": [\"token_accuracy\"]"
    let row = "{\"id\": 1, \"inputs\": [1, 300], \"labels\": [-100, 3]}"
    #expect(problem(ids, [row], check: true)?.contains("data.jsonl:1") == true)
  }

  private func prepared(_ task: FileTask, _ index: Int = 0) throws -> PreparedSample {
    try FileTaskPrompts(task: task, tokenizer: ByteTokenizer()).prepare(index)
  }

  private func text(_ ids: [Int32]) -> String { ByteTokenizer().decode(ids) }

  @Test("spaces before a choice belong to it; nothing before it is the end-of-text id")
  func pairs() throws {
    let likelihood = "\"kind\": \"loglikelihood\", \"metrics\": [\"perplexity\"]"
    let task = try task(
      likelihood,
      [
        "{\"id\": 0, \"context\": \"a b \\n\", \"target\": \"c\"}",
        "{\"id\": 1, \"context\": \"\", \"target\": \"c\"}",
      ])
    let first = try prepared(task).sequences[0]
    #expect(text(first.context) == "a b" && text(first.continuation) == " \n c")
    let empty = try prepared(task, 1).sequences[0]
    #expect(empty.context == [256] && text(empty.continuation) == " c")
  }

  @Test("a window around the answer is what the published scripts cut")
  func centered() throws {
    // One token a character: 5000 of them, and 950 wanted.
    func window(_ place: Int?) throws -> Range<Int> {
      var characters = (0..<5000).map { Character(Unicode.Scalar(UInt8(97 + $0 % 20))) }
      if let place { characters.replaceSubrange(place..<(place + 3), with: "XYZ") }
      let task = try task(
        generate + ", \"truncate\": {\"mode\": \"answer_centered\", \"context_tokens\": 1000, "
          + "\"reserve\": 50}",
        ["{\"id\": 0, \"context\": \"\(String(characters))\", \"answers\": [\"xyz\"]}"])
      let sample = try prepared(task)
      #expect(sample.isCut)
      let kept = Array(sample.prompt)
      let start = (0...(5000 - kept.count)).first {
        Array(characters[$0..<($0 + kept.count)]) == kept
      }
      let first = try #require(start)
      // The pattern repeats every 20 characters.
      return first..<(first + kept.count)
    }
    #expect(try window(3000) == 2525..<3475)
    #expect(try window(100) == 0..<950)
    #expect(try window(4900) == 4425..<5000)
    #expect(try window(nil).count == 476)
  }

  @Test("examples come first, the sample itself is none of them")
  func fewShot() throws {
    let lines = (0..<6).map {
      "{\"id\": \($0), \"context\": \"q\($0)\", \"choices\": [\"x\($0)\", \"y\($0)\"], \"gold\": 1}"
    }
    let first = try task(
      choice + ", \"fewshot\": {\"k\": 2, \"sampler\": \"first\", \"delimiter\": \"|\"}", lines)
    #expect(try prepared(first, 4).prompt == "q0 y0|q1 y1|q4")
    #expect(try prepared(first, 1).prompt == "q0 y0|q2 y2|q1")
    let drawn = try task(choice + ", \"fewshot\": {\"k\": 5, \"delimiter\": \"|\"}", lines)
    for index in 0..<6 {
      let parts = try prepared(drawn, index).prompt.split(separator: "|").map(String.init)
      #expect(parts.last == "q\(index)" && Set(parts).count == 6)
      #expect(try prepared(drawn, index).prompt == prepared(drawn, index).prompt)
    }
    let orders = try (0..<6).map { try prepared(drawn, $0).prompt.prefix(5) }
    #expect(Set(orders).count > 1)
  }

  @Test("rolling windows do not overlap and have one token of context")
  func rolling() throws {
    let rolling = "\"kind\": \"rolling\", \"metrics\": [\"bits_per_byte\"]"
    let line = "{\"id\": 0, \"text\": \"abcdefg\"}"
    let whole = try prepared(try task(rolling, [line]))
    #expect(whole.sequences.map(\.context) == [[256]])
    let cut = try prepared(
      try task(rolling + ", \"truncate\": {\"mode\": \"none\", \"context_tokens\": 3}", [line]))
    #expect(cut.sequences.map { text($0.continuation) } == ["abc", "def", "g"])
    #expect(cut.sequences.map(\.context) == [[256], [99], [102]])
  }

  @Test("every kind is measured, and contexts that are shared are read once")
  func measures() throws {
    // After "=" comes "b"; after "b" a line feed.
    let model = automaton(vocabulary: 257, [61: 98, 98: 10], otherwise: 0)
    let byte = ByteTokenizer()
    let long = String(repeating: "some words before the question ", count: 20)
    let lines = (0..<12).map {
      "{\"id\": \($0), \"context\": \"\(long)\", \"prefix\": \"key\($0)=\", \"answers\": "
        + "[\"\($0 % 3 == 0 ? "z" : "b")\"], \"meta\": {\"half\": \($0 / 6)}}"
    }
    let texts = try task(
      generate
        + ", \"generate\": {\"max_new_tokens\": 4, \"stop\": [\"\\n\"]}, \"group_by\": [\"half\"]",
      lines
    ).measure(model, tokenizer: byte)
    #expect(texts.metrics[0].value.value == 8.0 / 12 && texts.samples == 12)
    #expect(texts.groups.map(\.value) == ["0", "1"] && texts.groups.map(\.samples) == [6, 6])
    let work = try #require(texts.json["computed_tokens"]?.double)
    let asked = try #require(texts.json["tokens"]?.double)
    #expect(work < asked / 8, "\(work) of \(asked)")

    let choices = try task(
      choice + ", \"target_delimiter\": \"\"",
      [
        "{\"id\": 0, \"context\": \"a=\", \"choices\": [\"b\", \"c\"], \"gold\": 0}",
        "{\"id\": 1, \"context\": \"a=\", \"choices\": [\"c\", \"b\"], \"gold\": 0}",
        "{\"id\": 2, \"contexts\": [\"x\", \"a=\"], \"continuation\": \"b\", \"gold\": [1]}",
      ]
    ).measure(model, tokenizer: byte)
    #expect(choices.metrics[0].value.value == 2.0 / 3)

    let recall = try task(
      "\"kind\": \"token_recall\", \"metrics\": [\"token_accuracy\"]",
      [
        "{\"id\": 0, \"inputs\": [61, 98], \"labels\": [98, 9]}",
        "{\"id\": 1, \"inputs\": [61, 98, 5], \"labels\": [-100, 10, -100]}",
      ]
    ).measure(model, tokenizer: nil)
    #expect(recall.metrics[0].value.value == 0.75)

    let greedy = try task(
      "\"kind\": \"loglikelihood\", \"metrics\": [\"greedy_match\", \"perplexity\"], "
        + "\"target_delimiter\": \"\"",
      [
        "{\"id\": 0, \"context\": \"a=\", \"target\": \"b\\n\"}",
        "{\"id\": 1, \"context\": \"a=\", \"target\": \"bb\"}",
      ]
    ).measure(model, tokenizer: byte)
    #expect(greedy.metrics.map(\.name) == ["greedy_match", "perplexity"])
    #expect(greedy.metrics[0].value.value == 0.5)
  }
}
