import Compression
import Fields
import Files
import JSON

extension FileTask {
  /// Reads a task and checks every line of its data.
  ///
  /// - Parameter directory: the task's, or its `task.json`.
  /// - Throws: `EvaluationError.taskFile` naming file, line and field; `FileError`.
  public init(directory: String) throws {
    let isFile = directory.hasSuffix(".json")
    let folder = isFile ? FileSystem.parent(of: directory) : directory
    let path = isFile ? directory : directory + "/task.json"
    let reading = try FileTaskReading(path, in: folder)
    do throws(FieldError) {
      self = try reading.task()
    } catch {
      throw EvaluationError.taskFile(error.description)
    }
  }
}

/// The files of a task, read but not decoded.
private struct FileTaskReading {
  /// A file's lines that are not empty.
  private struct Lines {
    let path: String
    let values: [(line: Int, value: FieldValue)]
  }

  private let folder: String
  private let definition: FieldValue
  private let data: Lines
  private let examples: Lines?
  private let fingerprint: String

  init(_ path: String, in folder: String) throws {
    self.folder = folder
    var hash = XXH64()
    let bytes = try InputFile.contents(of: path)
    bytes.withUnsafeBytes { hash.update($0) }
    definition = try FieldValue(parsingJSON: bytes, file: path)
    func lines(_ file: String) throws -> Lines {
      let contents = try Self.contents(of: file)
      return Lines(path: file, values: try Self.values(contents, file))
    }
    let plain = folder + "/data.jsonl"
    let file =
      try FileSystem.exists(plain) || !FileSystem.exists(plain + ".zst") ? plain : plain + ".zst"
    data = try lines(file)
    examples =
      if case .text(let file)? = definition["fewshot"]?["file"]?.kind {
        try lines(folder + "/" + file)
      } else { nil }
    for file in [data, examples] {
      for (_, value) in file?.values ?? [] {
        value.jsonValue.encoded().withUnsafeBytes { hash.update($0) }
      }
    }
    fingerprint = XXH64.hexadecimal(hash.digest())
  }

  private static func contents(of path: String) throws -> [UInt8] {
    guard path.hasSuffix(".zst") else { return try InputFile.contents(of: path) }
    let reader = try DecompressingReader(InputFile(path: path), limit: 1 << 34)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    var contents: [UInt8] = []
    while true {
      let count = try reader.read(into: buffer)
      contents += buffer[..<count]
      if count < buffer.count { return contents }
    }
  }

  private static func values(
    _ contents: [UInt8], _ path: String
  ) throws -> [(line: Int, value: FieldValue)] {
    var values: [(line: Int, value: FieldValue)] = []
    let lines = contents.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated()
    where line.contains(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\r") }) {
      let place = FieldPlace.line(file: path, index + 1)
      do {
        let json = try Array(line).withUnsafeBytes { try JSONValue(parsing: $0, source: "line") }
        values.append((index + 1, FieldValue(json: json, place: place)))
      } catch {
        throw EvaluationError.taskFile("\(place): not a JSON object: \(error)")
      }
    }
    guard !values.isEmpty else { throw EvaluationError.taskFile("\(path): there are no samples") }
    return values
  }

  // MARK: task.json

  private static let keys = [
    "format", "name", "source", "license", "kind", "metrics", "match", "generate",
    "target_delimiter", "score", "fewshot", "truncate", "tokenizer", "generator", "group_by",
  ]

  func task() throws(FieldError) -> FileTask {
    let reader = try FieldReader(definition, keys: Self.keys)
    _ = try reader.word("format", of: ["statex-task/1"])
    let kind = try reader.choice("kind") as FileTask.Kind
    let groups = try reader.texts("group_by", default: [])
    let known = FileTaskMetric.all(of: kind)
    var metrics: [FileTaskMetric] = []
    for name in try reader.texts("metrics") {
      guard let metric = known.first(where: { $0.rawValue == name }), !metrics.contains(metric)
      else {
        throw reader.invalid(
          "metrics",
          "`\(name)`: a task of kind `\(kind.rawValue)` has \(known.map(\.rawValue).joined(separator: ", ")), each once"
        )
      }
      metrics.append(metric)
    }
    guard !metrics.isEmpty else { throw reader.invalid("metrics", "at least one is needed") }
    let samples = try samples(data, kind, groups)
    let fewShot = try fewShot(reader)
    let examples = try examples.map { (lines) throws(FieldError) in
      try self.samples(lines, kind, [])
    }
    if let fewShot, (examples ?? Array(samples.dropLast())).count < fewShot.count {
      throw reader.invalid("fewshot", "`k` is \(fewShot.count), and there are fewer samples")
    }
    let score =
      try reader.value("score") == nil ? "sum" : reader.word("score", of: ["sum", "mean_token"])
    return FileTask(
      name: try reader.text("name"), source: try reader.optionalText("source"),
      license: try reader.optionalText("license"), fingerprint: fingerprint, kind: kind,
      metrics: metrics, match: try match(reader), generation: try generation(reader),
      delimiter: try reader.text("target_delimiter", default: " ", orEmpty: true),
      comparesMeans: score == "mean_token", fewShot: fewShot, truncation: try truncation(reader),
      addsSpecial: try reader.optionalMapping("tokenizer")?.flag("add_bos", default: true) ?? true,
      groups: groups, samples: samples, examples: examples ?? samples)
  }

  private func match(_ reader: FieldReader) throws(FieldError) -> FileTask.Match {
    guard let reader = try reader.optionalMapping("match") else { return .init() }
    let keys = ["ignore_case", "ignore_punctuation", "strip", "first_line", "strip_control"]
    try reader.refuse(except: keys)
    var match = FileTask.Match()
    match.ignoresCase = try reader.flag(keys[0], default: false)
    match.ignoresPunctuation = try reader.flag(keys[1], default: false)
    match.strips = try reader.flag(keys[2], default: false)
    match.isFirstLine = try reader.flag(keys[3], default: false)
    match.stripsControls = try reader.flag(keys[4], default: false)
    return match
  }

  private func generation(_ reader: FieldReader) throws(FieldError) -> FileTask.Generation {
    guard let reader = try reader.optionalMapping("generate") else { return .init() }
    try reader.refuse(except: ["max_new_tokens", "stop", "greedy", "budget"])
    guard try reader.flag("greedy", default: true) else {
      throw reader.invalid("greedy", "texts are generated greedily only")
    }
    let most = try reader.optionalInteger(
      "max_new_tokens", .between(1, ScoringRequest.maximumTokens))
    let budget =
      try reader.value("budget") == nil
      ? (most == nil ? "auto" : "tokens") : reader.word("budget", of: ["auto", "tokens"])
    guard (budget == "tokens") == (most != nil) else {
      throw reader.invalid("budget", "`tokens` goes with `max_new_tokens`, `auto` without it")
    }
    return FileTask.Generation(
      maximumNewTokens: most, stops: try reader.texts("stop", default: []).filter { !$0.isEmpty })
  }

  private func fewShot(_ reader: FieldReader) throws(FieldError) -> FileTask.FewShot? {
    guard let reader = try reader.optionalMapping("fewshot") else { return nil }
    try reader.refuse(except: ["k", "seed", "delimiter", "file", "sampler"])
    return FileTask.FewShot(
      count: try reader.integer("k", .between(1, 1 << 20)),
      seed: try reader.integer("seed", default: 1234, .any),
      delimiter: try reader.text("delimiter", default: "\n\n", orEmpty: true),
      sampler: reader.value("sampler") == nil ? .random : try reader.choice("sampler"),
      file: try reader.optionalText("file"))
  }

  private func truncation(_ reader: FieldReader) throws(FieldError) -> FileTask.Truncation {
    guard let reader = try reader.optionalMapping("truncate") else { return .init() }
    try reader.refuse(except: ["mode", "context_tokens", "reserve"])
    var truncation = FileTask.Truncation()
    truncation.mode = try reader.choice("mode")
    truncation.contextTokens = try reader.optionalInteger(
      "context_tokens", .between(1, ScoringRequest.maximumTokens))
    truncation.reserve = try reader.integer("reserve", default: 0, .atLeast(0))
    guard truncation.mode == .none || truncation.contextTokens != nil else {
      throw reader.invalid("context_tokens", "a prompt that is cut needs a length")
    }
    guard truncation.reserve < truncation.contextTokens ?? .max else {
      throw reader.invalid("reserve", "leaves nothing of `context_tokens`")
    }
    return truncation
  }

  // MARK: data.jsonl

  private func samples(
    _ lines: Lines, _ kind: FileTask.Kind, _ groups: [String]
  ) throws(FieldError) -> [FileTaskSample] {
    var samples: [FileTaskSample] = []
    var seen: Set<FileTaskID> = []
    for (_, value) in lines.values {
      let reader = try FieldReader(value, keys: nil)
      let sample = try FileTaskSample(reader, kind, groups)
      guard seen.insert(sample.id).inserted else {
        throw reader.invalid("id", "another sample has it too")
      }
      samples.append(sample)
    }
    return samples
  }
}

extension FileTaskSample {
  fileprivate init(
    _ reader: FieldReader, _ kind: FileTask.Kind, _ groups: [String]
  ) throws(FieldError) {
    place = reader.place
    id = try Self.id(reader)
    switch kind {
    case .multipleChoice: (question, gold) = try Self.choices(reader)
    case .generate:
      question = .generate(
        context: try reader.text("context", orEmpty: true),
        prefix: try reader.text("prefix", default: "", orEmpty: true))
      gold = []
    case .likelihood:
      question = .likelihood(
        context: try reader.text("context", orEmpty: true), target: try reader.text("target"))
      gold = []
    case .rolling: (question, gold) = (.rolling(try reader.text("text")), [])
    case .tokenRecall: (question, gold) = (try Self.tokens(reader), [])
    }
    answers = kind == .generate ? try Self.answers(reader) : []
    let meta = try reader.optionalMapping("meta")
    self.groups = try groups.map { (key) throws(FieldError) in
      guard let value = meta?.value(key) ?? reader.value(key) else {
        throw reader.invalid("meta", "`\(key)` of `group_by` is missing")
      }
      switch value.kind {
      case .text(let text): return text
      case .integer(let number): return "\(number)"
      case .number(let number): return "\(number)"
      case .flag(let flag): return "\(flag)"
      default:
        throw reader.invalid(
          "meta", "`\(key)` of `group_by` is not a text, a number or a truth value")
      }
    }
  }

  private static func id(_ reader: FieldReader) throws(FieldError) -> FileTaskID {
    if case .text(let text)? = reader.value("id")?.kind { return .text(text) }
    return .number(try reader.integer("id", .any, atMost: .max))
  }

  private static func choices(_ reader: FieldReader) throws(FieldError) -> (Question, [Int]) {
    let question: Question
    let count: Int
    if reader.value("contexts") != nil {
      let contexts = try reader.texts("contexts")
      question = .contexts(contexts, continuation: try reader.text("continuation"))
      count = contexts.count
    } else {
      let choices = try reader.texts("choices")
      question = .choices(context: try reader.text("context", orEmpty: true), choices)
      count = choices.count
    }
    guard count >= 2 else {
      throw reader.invalid(
        reader.value("contexts") == nil ? "choices" : "contexts", "expected two or more")
    }
    let gold = try reader.integers("gold", .between(0, count - 1), orOne: true)
    guard !gold.isEmpty else { throw reader.invalid("gold", "expected at least one") }
    return (question, gold)
  }

  private static func answers(_ reader: FieldReader) throws(FieldError) -> [String] {
    if reader.value("answers") == nil, reader.value("target") != nil {
      return [try reader.text("target")]
    }
    let answers = try reader.texts("answers")
    guard !answers.isEmpty else { throw reader.invalid("answers", "expected at least one") }
    return answers
  }

  private static func tokens(_ reader: FieldReader) throws(FieldError) -> Question {
    let inputs = try reader.integers("inputs", .between(0, Int(Int32.max)))
    let labels = try reader.integers("labels", .between(-100, Int(Int32.max)))
    guard !inputs.isEmpty else { throw reader.invalid("inputs", "expected at least one id") }
    guard labels.count == inputs.count else {
      throw reader.invalid("labels", "\(labels.count) of them for \(inputs.count) inputs")
    }
    guard labels.allSatisfy({ $0 >= 0 || $0 == -100 }) else {
      throw reader.invalid("labels", "expected ids, or -100 for none")
    }
    guard labels.contains(where: { $0 >= 0 }) else {
      throw reader.invalid("labels", "there is no id to predict")
    }
    return .tokens(inputs.map { Int32($0) }, labels: labels.map { Int32($0) })
  }
}
