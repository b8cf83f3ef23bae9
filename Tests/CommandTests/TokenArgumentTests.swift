import Foundation
import JSON
import Testing
import TokenData

/// Token files as commands take them: several, patterns, without an index, a part of their documents.
@Suite("token files as arguments") struct TokenArgumentTests {
  private let place: Workplace
  /// Documents of text, the last id of each being 256.
  private let documents: [[Int32]]

  init() throws {
    place = try Workplace()
    documents = (0..<60).map { number in
      "document \(number) of \(number * 7919 % 1000)".utf8.map { Int32($0) } + [256]
    }
    try place.model()
  }

  private func pair(_ name: String, _ documents: [[Int32]]) throws {
    let writer = try MegatronWriter(prefix: place.file(name), vocabularySize: 264)
    for document in documents { try writer.append(document) }
    try writer.finish()
  }

  /// A file of nothing but 16-bit ids.
  private func flat(_ name: String, _ documents: [[Int32]]) throws {
    let bytes = documents.joined().flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    try Data(bytes).write(to: URL(fileURLWithPath: place.file(name)))
  }

  /// The same in NumPy's format.
  private func array(_ name: String, _ documents: [[Int32]]) throws {
    let ids = Array(documents.joined())
    var header = "{'descr': '<u2', 'fortran_order': False, 'shape': (\(ids.count),), }"
    header += String(repeating: " ", count: 117 - header.utf8.count) + "\n"
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(header.utf8)
    for id in ids { bytes += [UInt8(id & 0xFF), UInt8(id >> 8)] }
    try Data(bytes).write(to: URL(fileURLWithPath: place.file(name)))
  }

  private func loss(_ arguments: String...) throws -> (nll: String, warnings: String) {
    let done = try place.statex(
      ["evaluate", "--model", "model", "--sequence-length", "16", "--json", "report.json"]
        + arguments)
    #expect(done.code == 0, "\(done)")
    let perplexity = try #require(try place.json("report.json")["perplexity"])
    let (nll, tokens) = (perplexity["nll"]?.double, perplexity["tokens"]?.integer())
    return ("\(nll ?? -1) over \(tokens ?? 0)", done.errors)
  }

  @Test("the loss of several files, patterns, and files without an index")
  func severalFiles() throws {
    try pair("a", Array(documents[..<20]))
    try pair("b-1", Array(documents[20..<40]))
    try flat("b-2.bin", Array(documents[40...]))
    try array("b-2.npy", Array(documents[40...]))
    let one = try loss("--perplexity", "a")
    let all = try loss("--perplexity", "a", "--perplexity", "b-1", "--perplexity", "b-2.bin")
    #expect(one.nll != all.nll && all.warnings.isEmpty)
    #expect(try loss("--perplexity", "a", "--perplexity", "b-*.bin").nll == all.nll)
    let array = try loss("--perplexity", "a", "--perplexity", "b-1", "--perplexity", "b-2.npy")
    #expect(array.nll == all.nll)
    let twice = try place.statex(
      "evaluate", "--model", "model", "--perplexity", "a", "--perplexity", "a.bin")
    #expect(twice.code == 65 && twice.errorLine?.contains("named twice") == true, "\(twice)")
  }

  @Test("the loss on held-out documents is that of exactly these, with or without an index")
  func heldOut() throws {
    try pair("all", documents)
    try flat("flat.bin", documents)
    let selected = try TokenSelection([place.file("all")], part: .heldOut(0.4)).open()[0]
    let held = try selected.documents.map { range in
      let ids = UnsafeMutableBufferPointer<Int32>.allocate(capacity: range.count)
      defer { ids.deallocate() }
      try selected.read(from: range.lowerBound, into: ids, vocabularySize: nil)
      return Array(ids)
    }
    #expect(held.count > 10 && held.count < 40 && held.allSatisfy(documents.contains))
    try pair("held", held)
    let expected = try loss("--perplexity", "held").nll
    #expect(try loss("--perplexity", "all", "--held-out", "0.4").nll == expected)
    let flat = try loss("--perplexity", "flat.bin", "--end-of-text", "256", "--held-out", "0.4")
    #expect(flat.nll == expected)
    #expect(try loss("--perplexity", "all").nll != expected)
  }

  @Test("a log of samples of other documents is not gone on with")
  func logs() throws {
    try pair("all", documents)
    let arguments = [
      "evaluate", "--model", "model", "--sequence-length", "16", "--perplexity", "all",
      "--sample-log", "log.jsonl",
    ]
    #expect(try place.statex(arguments).code == 0)
    #expect(try place.statex(arguments).errors.contains("samples are there already"))
    let other = try place.statex(arguments + ["--held-out", "0.4"])
    #expect(other.code == 65 && other.errorLine?.contains("perplexity") == true, "\(other)")
  }

  @Test(
    "what needs tokens to measure says so",
    arguments: [
      (["--held-out", "0.1"], "--held-out needs --perplexity"),
      (["--end-of-text", "1"], "--end-of-text needs --perplexity"),
      (["--perplexity", "all", "--held-out", "1"], "--held-out must be above 0 and below 1"),
      (["--perplexity", "all", "--end-of-text=-1"], "--end-of-text must not be negative"),
    ])
  func wrong(_ arguments: [String], _ text: String) throws {
    try pair("all", documents)
    let tasks = arguments.contains("all") ? [] : ["--task", "mqar:vocab=64"]
    let found = try place.statex(["evaluate", "--model", "model"] + tasks + arguments)
    #expect(found.code == 64 && found.errorLine?.contains(text) == true, "\(found)")
  }

  /// The manifest of data that the tokenizer whose file is `{}` has made.
  private func tokenize(hash: String? = nil) throws {
    try place.write("{\"text\": \"some text, more than sixteen bytes\"}\n", "a.jsonl")
    let made = try place.statex(
      "data", "tokenize", "a.jsonl", "--tokenizer", "byte", "--output", "made", "--overwrite")
    #expect(made.code == 0, "\(made)")
    guard let hash else { return }
    let manifest = String(decoding: try place.bytes("made.manifest.json"), as: UTF8.self)
    try place.write(
      manifest.replacingOccurrences(of: "\"xxh64\": \"byte\"", with: "\"xxh64\": \"\(hash)\"")
        .replacingOccurrences(of: "\"xxh64\":\"byte\"", with: "\"xxh64\":\"\(hash)\""),
      "made.manifest.json")
  }

  @Test("tokens of another tokenizer than the model's are a warning that names both")
  func mismatch() throws {
    try tokenize()
    let fixture =
      URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
      + "/Fixtures/tokenizers/sentencepiece/tokenizer.json"
    try FileManager.default.copyItem(atPath: fixture, toPath: place.file("model/tokenizer.json"))
    let found = try loss("--perplexity", "made").warnings
    #expect(
      found.hasPrefix(
        "warning: made was made with the tokenizer byte (byte, vocabulary 257), the model's is model ("
      ),
      "\(found)")
    #expect(found.split(separator: "\n").count == 1)
  }

  /// Comparing takes the tokenizer's bytes, not what they mean.
  @Test("a tokenizer that made the tokens is not read to find that out")
  func hashAlone() throws {
    // xxhsum -H64 of `{}`, which is no tokenizer.
    try tokenize(hash: "2e1472b57af294d1")
    try place.write("{}", "model/tokenizer.json")
    #expect(try loss("--perplexity", "made").warnings.isEmpty)
    try place.write(
      """
      run: {output: run}
      model: {init: model}
      data: {sequence_length: 16, sources: [{tokens: made}]}
      train: {steps: 1, sequences_per_step: 1, segment_length: 16}
      evaluation: {every: 0}
      """, "r.yaml")
    let plan = try place.statex("plan", "--config", "r.yaml")
    #expect(plan.code == 0 && !plan.output.contains("tokenizer"), "\(plan)")
    try place.write("{ }", "model/tokenizer.json")
    #expect(try place.statex("plan", "--config", "r.yaml").code == 65)
  }

  @Test(
    "several files, one without an index, are described together, and documents say where they are")
  func inspect() throws {
    try pair("a", Array(documents[..<2]))
    try flat("b.bin", Array(documents[2..<5]))
    let found = try place.statex(
      "data", "inspect", "a", "b.bin", "--end-of-text", "256", "--tokenizer", "byte", "--first",
      "4")
    #expect(found.code == 0, "\(found)")
    #expect(found.output.contains("\nfile_count       2\ndocuments        5\n"), "\(found)")
    #expect(found.output.contains("\nlargest_id       256\n"))
    let table = found.output.split(separator: "\n").map {
      $0.split(separator: " ").map(String.init)
    }
    #expect(
      table.contains(["a", "2", "34", "uint16"]) && table.contains(["b.bin", "3", "54", "uint16"]))
    #expect(found.output.hasSuffix("document 1 of b.bin, 18 tokens\n    document 3 of 757\n"))
    let alone = try place.statex("data", "inspect", "b.bin", "--end-of-text", "256", "--json")
    let json = try parse(alone.output)
    #expect(json["documents"]?.integer() == 3 && json["kind"]?.string == "tokens")
    let whole = try parse(try place.statex("data", "inspect", "b.bin", "--json").output)
    #expect(whole["documents"]?.integer() == 1)
  }

  @Test("documents are decoded with what made them, while that is there")
  func decoding() throws {
    try tokenize()
    let bytes = try place.statex("data", "inspect", "made")
    #expect(bytes.output.contains("\ndecoded_with     byte\n"), "\(bytes)")
    #expect(bytes.output.hasSuffix("    some text, more than sixteen bytes\n"))
    let fixture =
      URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
      + "/Fixtures/tokenizers/sentencepiece/tokenizer.json"
    try FileManager.default.createDirectory(
      atPath: place.file("words"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: fixture, toPath: place.file("words/tokenizer.json"))
    let made = try place.statex(
      "data", "tokenize", "a.jsonl", "--tokenizer", "words", "--output", "w")
    #expect(made.code == 0, "\(made)")
    #expect(try place.statex("data", "inspect", "w").output.contains("decoded_with     words\n"))
    try place.write("{}", "words/tokenizer.json")
    let gone = try place.statex("data", "inspect", "w")
    #expect(gone.code == 0 && !gone.output.contains("decoded_with"), "\(gone)")
  }

  @Test("samples of a source of several files say which file they are from")
  func samples() throws {
    try pair("a", Array(documents[..<20]))
    try pair("b", Array(documents[20..<40]))
    try place.write(
      """
      run: {output: run}
      model:
        config: {model_type: gla, hidden_size: 16, num_hidden_layers: 1, num_heads: 2, vocab_size: 300}
      data: {sequence_length: 16, sources: [{tokens: [a, b]}]}
      train: {steps: 4, sequences_per_step: 8, segment_length: 16}
      """, "r.yaml")
    let found = try place.statex("data", "inspect", "--recipe", "r.yaml", "--first", "16")
    let heads = found.output.split(separator: "\n").filter { $0.hasPrefix("step ") }
    #expect(heads.count == 16 && heads.allSatisfy { $0.hasSuffix(".bin") }, "\(found)")
    #expect(Set(heads.map { String($0.suffix(5)) }) == ["a.bin", "b.bin"])
  }
}
