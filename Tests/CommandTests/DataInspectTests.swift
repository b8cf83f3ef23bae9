import Foundation
import JSON
import Testing
import TokenData

@Suite("statex data inspect")
struct DataInspectTests {
  private let place: Workplace

  init() throws { place = try Workplace() }

  /// Documents of 1, 1, 2, 3, 0, 9, 10 and 100 tokens.
  private func tokens() throws {
    let writer = try MegatronWriter(prefix: place.file("text"), vocabularySize: 300)
    for (number, length) in [1, 1, 2, 3, 0, 9, 10, 100].enumerated() {
      try writer.append([Int32](repeating: Int32(97 + number), count: length))
    }
    try writer.finish()
  }

  private func recipe(_ sources: String, length: Int = 64) throws {
    try place.write(
      """
      run: {output: "\(place.file("run"))", seed: 5}
      model:
        config: {model_type: gla, hidden_size: 16, num_hidden_layers: 1, num_heads: 2, vocab_size: 300}
      data: {sequence_length: \(length), sources: [\(sources)]}
      train: {steps: 4, sequences_per_step: 8, micro_batch: 2, segment_length: 16}
      """, "r.yaml")
  }

  @Test("counts, percentiles and a histogram of documents")
  func file() throws {
    try tokens()
    let found = try place.statex("data", "inspect", "text", "--tokenizer", "byte", "--first", "4")
    #expect(found.code == 0, "\(found.errors)")
    let lines = found.output.components(separatedBy: "\n")
    #expect(lines.allSatisfy { $0.count <= 80 })
    #expect(found.output.contains("largest_id       104\nempty_documents  1\n"))
    let histogram = lines.filter { $0.contains("|") }
    let bar = String(repeating: "#", count: 30)
    let half = String(repeating: "#", count: 15) + String(repeating: " ", count: 15)
    let none = String(repeating: " ", count: 30)
    #expect(
      histogram == [
        "     1 |\(bar) 2", "   2-3 |\(bar) 2", "   4-7 |\(none) 0", "  8-15 |\(bar) 2",
        " 16-31 |\(none) 0", " 32-63 |\(none) 0", "64-127 |\(half) 1",
      ])
    #expect(found.output.hasSuffix("document 3, 3 tokens\n    ddd\n"), "\(found.output)")
    let json = try parse(try place.statex("data", "inspect", "text.bin", "--json").output)
    #expect(json["documents"]?.integer() == 8 && json["empty_documents"]?.integer() == 1)
    let lengths = ["0", "25", "50", "75", "99", "100"].map { json["lengths"]?[$0]?.integer() }
    #expect(lengths == [1, 1, 3, 10, 100, 100])
    #expect(json["lengths"]?["mean"]?.double == 18)
    #expect(
      json["histogram"]?.array?.compactMap { $0["documents"]?.integer() } == [2, 2, 0, 2, 0, 0, 1])
    #expect(json["samples"] == nil)
  }

  @Test("what ranks will see is what the sources make, each sample once")
  func ranks() throws {
    try tokens()
    try recipe(
      "{tokens: \(place.file("text"))}, {task: mqar, vocab: 64, updates: 2}, {task: markov}",
      length: 20)
    func samples(_ rank: Int, _ ranks: Int, _ step: Int, _ more: [String] = []) throws
      -> [JSONValue]
    {
      let arguments = [
        "--rank", "\(rank)", "--ranks", "\(ranks)", "--step", "\(step)", "--first", "8",
      ]
      let found = try place.statex(
        ["data", "inspect", "--recipe", "r.yaml", "--json"] + arguments + more)
      #expect(found.code == 0, "\(found.errors)")
      return try #require(try parse(found.output)["samples"]?.array)
    }
    let alone = try samples(0, 1, 3)
    #expect(alone.map { $0["sample"]?.integer() } == Array(16..<24))
    #expect(alone.allSatisfy { $0["step"]?.integer() == 3 })
    let shared = try (0..<4).flatMap { try samples($0, 4, 3).filter { $0["step"]?.integer() == 3 } }
    #expect(shared == alone)
    let text = alone.filter { $0["source"]?.string == "text" }
    // 125 tokens are 6 samples of 20: samples 6 and 7 of the source begin its second epoch.
    #expect(text.map { $0["epoch"]?.integer() } == [1, 1])
    for sample in text {
      let index = try #require(sample["index"]?.integer())
      let inputs = try #require(sample["inputs"]?.array).compactMap { $0.integer() }
      let all = [1, 1, 2, 3, 0, 9, 10, 100].enumerated().flatMap { number, length in
        [Int](repeating: 97 + number, count: length)
      }
      #expect(inputs == Array(all[(20 * index)..<(20 * index + 20)]))
      #expect(sample["weights"]?.array?.allSatisfy { $0.double == 1 } == true)
      #expect(sample["documents"] != nil)
    }
    let pairs = try #require(alone.first { $0["source"]?.string == "mqar" })
    // 20 positions, of which the task counts 4: they weigh as much as 20 together.
    #expect(pairs["weights"]?.array?.compactMap(\.double).filter { $0 != 0 } == [5, 5, 5, 5])
  }

  @Test("counted targets stand in brackets, behind an arrow where they are not the next token")
  func marks() throws {
    try recipe("{task: passkey, tokenizer: byte}", length: 400)
    let key = try place.statex(
      "data", "inspect", "--recipe", "r.yaml", "--rank", "1", "--ranks", "2", "--first", "1")
    #expect(
      key.code == 0 && key.output.hasPrefix("rank 1 of 2\n\nstep 1  sample 4  source passkey  "))
    #expect(key.output.contains("\n  6 of 400 targets count, of weight 66.666664\n"))
    #expect(key.output.components(separatedBy: "\n").allSatisfy { $0.count <= 80 })
    let plain = key.output.replacingOccurrences(of: "\n    ", with: " ")
    let digits = plain.components(separatedBy: "The passkey is[ ").last?.prefix(5) ?? ""
    #expect(digits.count == 5 && digits.allSatisfy(\.isNumber), "\(plain)")
    #expect(plain.contains("tokens)") && !plain.contains("\u{1B}"))
    try recipe("{task: mqar, vocab: 64, pairs: 2, random_non_queries: false}", length: 12)
    let pairs = try place.statex("data", "inspect", "--recipe", "r.yaml", "--first", "1")
    let row = try #require(pairs.output.split(separator: "\n").last)
    let words = row.split(separator: " ").map(String.init)
    for (pair, place) in [(0, 0), (1, 2)] {
      #expect(words.contains("\(words[place])->[\(words[place + 1])]"), "pair \(pair) of \(row)")
    }
  }

  @Test(
    "wrong requests are one line",
    arguments: [
      (["text", "--rank", "1"], 64, "--rank needs --recipe"), ([], 64, "give token files"),
      (["text", "more"], 74, "more.idx"),
      (
        ["--recipe", "r.yaml", "--rank", "2", "--ranks", "2"], 64, "--rank must be between 0 and 1"
      ),
      (["--recipe", "r.yaml", "--ranks", "5"], 64, "5 ranks share 4 micro-batches"),
      (["--recipe", "r.yaml", "--step", "5"], 64, "train.steps: 4"),
      (["--recipe", "none.yaml"], 64, "none.yaml"), (["nothing"], 74, "nothing.idx"),
    ])
  func wrong(_ arguments: [String], _ code: Int, _ text: String) throws {
    try tokens()
    try recipe("{task: copying, vocab: 9}")
    let found = try place.statex(["data", "inspect"] + arguments)
    #expect(found.code == Int32(code) && found.errorLine?.contains(text) == true, "\(found)")
  }

  /// What `data make` writes is read back as the samples that the task itself makes.
  @Test("made rows train as their task does")
  func made() throws {
    let made = try place.statex(
      "data", "make", "--task", "mqar:vocab=64,updates=2", "--samples", "8", "--sequence-length",
      "24",
      "--seed", "5", "--output", "rows")
    #expect(made.code == 0, "\(made.errors)")
    let more = ["data.shuffle=false", "data.sequence_length=24"]
    let inspect = ["data", "inspect", "--recipe", "r.yaml", "--first", "8", "--json"] + more
    var found: [[JSONValue]] = []
    for source in [
      "{task: mqar, vocab: 64, updates: 2}", "{tokens: \(place.file("rows")), loss: sample}",
    ] {
      try recipe(source)
      let shown = try place.statex(inspect)
      #expect(shown.code == 0, "\(shown.errors)")
      found.append(try #require(try parse(shown.output)["samples"]?.array))
    }
    for (task, file) in zip(found[0], found[1]) {
      #expect(task["inputs"] == file["inputs"] && task["weights"] == file["weights"])
      let weights = try #require(task["weights"]?.array)
      for (position, weight) in weights.enumerated() where weight.double != 0 {
        #expect(task["targets"]?.array?[position] == file["targets"]?.array?[position])
      }
      #expect(weights.count { $0.double != 0 } == 4)
    }
    #expect(found.map(\.count) == [8, 8])
    try place.model()
    let measured = try place.statex(
      "evaluate", "--model", "model", "--perplexity", "rows", "--sequence-length", "24")
    #expect(measured.code == 65 && measured.errorLine?.contains("measure the task") == true)
  }
}
