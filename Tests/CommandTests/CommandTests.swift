import Foundation
import HuggingFaceInterop
import JSON
import TensorFiles
import Testing
import TokenData

@Suite("statex")
struct CommandTests {
  private let place: Workplace

  init() throws { place = try Workplace() }

  @Test("expand merges heads and says so; inspect reads it back")
  func expand() throws {
    try place.model()
    let done = try place.statex(
      "expand", "--model", "model", "--output", "expanded", "--layers", "0,2", "--heads", "2",
      "--seed", "5")
    #expect(done.code == 0 && done.errors.isEmpty, "\(done)")
    #expect(done.output.contains("4 x 4 x 8") && done.output.contains("2 x 8 x 16"))
    let found = try parse(try place.statex("inspect", "expanded", "--json").output)
    #expect(found["kind"]?.string == "model" && found["family"]?.string == "gla")
    #expect(found["expanded_layers"] == .array([.integer(0), .integer(2)]))
    #expect(found["layers"]?.array?.map { $0["state"]?.integer() } == [256, 128, 256])
    #expect(found["recurrent_state"]?.integer() == 640)
    // The same seed draws the same weights, another seed others.
    for (seed, equal) in [("5", true), ("6", false)] {
      try place.statex(
        "expand", "--model", "model", "--output", "again", "--layers", "0,2", "--heads", "2",
        "--seed", seed)
      let same =
        try place.bytes("again/model.safetensors")
        == place.bytes("expanded/model.safetensors")
      #expect(same == equal)
    }
  }

  @Test("convert writes the asked element type in the asked pieces")
  func convert() throws {
    try place.model()
    try place.write("{}", "model/tokenizer.json")
    let done = try place.statex(
      "convert", "--model", "model", "--output", "half", "--dtype", "bfloat16",
      "--max-shard-size", "20KB")
    #expect(done.code == 0 && done.errors.isEmpty, "\(done)")
    let index = try place.json("half/model.safetensors.index.json")
    guard case .object(let map)? = index["weight_map"] else { return #expect(Bool(false)) }
    let shards = Set(map.compactMap(\.value.string))
    #expect(shards.count > 1)
    let shard = try #require(shards.min())
    let found = try parse(try place.statex("inspect", "half/\(shard)", "--json").output)
    guard case .object(let tensors)? = found["tensors"] else { return #expect(Bool(false)) }
    #expect(tensors.allSatisfy { $0.value["dtype"]?.string == "BF16" } && !tensors.isEmpty)
    #expect(try place.bytes("half/tokenizer.json") == Array("{}".utf8))
    let back = try place.statex("convert", "--model", "half", "--output", "again")
    #expect(back.code == 0)
    let (first, second) = (
      try HuggingFaceModel.load(directory: place.file("half")),
      try HuggingFaceModel.load(directory: place.file("again"))
    )
    #expect(first.parameters.buffer.array() == second.parameters.buffer.array())
  }

  @Test("weights keep their type unless another is asked for")
  func elementTypes() throws {
    try place.model(dtype: .bfloat16)
    for (arguments, expected) in [
      (["convert"], "bfloat16"), (["expand", "--every", "2"], "bfloat16"),
      (["expand", "--every", "2", "--init", "preserve"], "bfloat16"),
      (["convert", "--dtype", "float16"], "float16"),
      (["convert", "--dtype", "float32"], "float32"),
    ] {
      let done = try place.statex(arguments + ["--model", "model", "--output", "x"])
      #expect(done.code == 0 && done.output.contains("parameters, \(expected), "), "\(done)")
      let found = try parse(try place.statex("inspect", "x", "--json").output)
      #expect(found["weights"]?.string == expected)
      #expect(try place.json("x/config.json")["torch_dtype"]?.string == expected)
    }
  }

  @Test("inspect says what is missing, or that Git LFS has not fetched it")
  func inspectWithoutWeights() throws {
    try place.model()
    #expect(try place.statex("inspect", "model").output.contains("weight_bytes"))
    try place.write(
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
      "model/model.safetensors")
    let pointer = try place.statex("inspect", "model")
    #expect(pointer.code == 0 && pointer.output.contains("git lfs pull"), "\(pointer)")
    let generation = try place.statex("generate", "--model", "model", "--prompt-tokens", "1")
    #expect(generation.code == 65 && generation.errorLine?.contains("git lfs pull") == true)
    try FileManager.default.removeItem(atPath: place.file("model/model.safetensors"))
    let missing = try place.statex("inspect", "model")
    #expect(missing.code == 0 && missing.output.contains("model.safetensors: not found"))
  }

  @Test("a field of config.json that nothing reads is one warning on stderr")
  func unknownFields() throws {
    try place.model()
    let config = String(decoding: try place.bytes("model/config.json"), as: UTF8.self)
    try place.write(
      config.replacingOccurrences(of: "{\n", with: "{\n\"num_head\": 3,\n", options: .anchored),
      "model/config.json")
    let warning =
      "warning: model/config.json: field 'num_head' is not one of fla GLA; it is ignored\n"
    // The edit is told as well, as long as there are sums.
    let edited = try place.statex("inspect", "model", "--json")
    #expect(edited.code == 0 && edited.output.contains("config.json has the hash "), "\(edited)")
    try FileManager.default.removeItem(atPath: place.file("model/XXH64SUMS"))
    for command in [
      ["generate", "--prompt-tokens", "1"], ["convert", "--output", "x"],
      ["expand", "--output", "x", "--every", "2"], ["evaluate", "--task", "copying"],
    ] {
      let done = try place.statex(command + ["--model", "model"])
      #expect(done.code == 0 && done.errors == warning, "\(done)")
    }
    #expect(try place.statex("inspect", "model").output.contains("field 'num_head'"))
  }

  @Test("evaluate gives the same report whatever the threads, the same numbers in any segments")
  func evaluate() throws {
    try place.model()
    try place.tokenFile("text", count: 450)
    func evaluate(_ threads: String, _ segment: String) throws -> (JSONValue, [UInt8]) {
      let done = try place.statex(
        "evaluate", "--model", "model", "--perplexity", "text", "--sequence-length", "50",
        "--per-token", "--task", "mqar:pairs=[4,8],vocab=64,samples=12",
        "--task", "copying:tokens=5", "--task", "passkey:sequence_length=[300,500]", "--samples",
        "4", "--tokenizer", "byte",
        "--threads", threads, "--segment-length", segment, "--json", "report.json")
      #expect(done.code == 0 && done.errors.isEmpty, "\(done)")
      #expect(done.output.contains("mqar_8") && done.output.contains("perplexity"))
      return (try place.json("report.json"), try place.bytes("report.json"))
    }
    let (report, text) = try evaluate("1", "2048")
    for threads in ["2", "3"] { #expect(try evaluate(threads, "2048").1 == text) }
    #expect(report["perplexity"]?["tokens"]?.integer() == 8 * 50)
    #expect(report["perplexity"]?["token_nll"]?.array?.count == 50)
    #expect(report["tasks"]?["mqar_4"]?["samples"]?.integer() == 12)
    #expect(report["tasks"]?["mqar_8"]?["accuracy"]?.double != nil)
    #expect(report["tasks"]?["copying"]?["chance"]?.double == 1.0 / 14)
    #expect(report["tasks"]?["passkey"]?["contains"]?.double != nil)
    #expect(report["tasks"]?["passkey"]?["samples"]?.integer() == 8)
    #expect(report["tasks"]?["passkey"]?["lengths"]?["500"]?["stderr"] != nil)
    let (segmented, _) = try evaluate("2", "13")
    let (a, b) = (report["perplexity"]?["nll"]?.double, segmented["perplexity"]?["nll"]?.double)
    #expect(abs(try #require(a) - #require(b)) < 1e-5)
  }

  @Test("generate continues tokens and text, repeatably")
  func generate() throws {
    try place.model()
    func tokens(_ more: String...) throws -> String {
      let fixed = ["--model", "model", "--prompt-tokens", "72,105,33", "--max-new-tokens", "6"]
      let done = try place.statex(["generate"] + fixed + more)
      #expect(done.code == 0 && done.errors.isEmpty, "\(done)")
      return done.output
    }
    let greedy = try tokens()
    #expect(greedy.split(separator: ",").count == 6)
    #expect(try tokens("--threads", "3", "--segment-length", "2") == greedy)
    #expect(try tokens("--temperature", "2") == tokens("--temperature", "2", "--seed", "0"))
    #expect(try tokens("--temperature", "2") != tokens("--temperature", "2", "--seed", "1"))
    let ids = greedy.split(whereSeparator: { ",\n".contains($0) }).compactMap { Int32($0) }
    let text = try place.statex(
      "generate", "--model", "model", "--prompt", "Hi!", "--tokenizer", "byte",
      "--max-new-tokens", "6", "--json", "generated.json")
    let end = ids.firstIndex(of: 256) ?? ids.count
    #expect(text.output == ByteTokenizer().decode(Array(ids[..<end])) + "\n")
    let report = try place.json("generated.json")
    #expect(report["tokens"] == .array(ids[..<end].map { .integer($0) }))
    #expect(report["text"]?.string.map { $0 + "\n" } == text.output)
  }

  @Test("data tokenize and inspect")
  func data() throws {
    try place.write("{\"text\": \"abc\"}\n{\"text\": \"de\"}\n", "a.jsonl")
    try place.write("fg", "b.txt")
    let done = try place.statex(
      "data", "tokenize", "a.jsonl", "b.txt", "--tokenizer", "byte", "--output", "text")
    #expect(done.code == 0 && done.output.contains("3 documents, 10 tokens"), "\(done)")
    for command in [["inspect"], ["data", "inspect"]] {
      let found = try parse(try place.statex(command + ["text", "--json"]).output)
      #expect(found["documents"]?.integer() == 3 && found["tokens"]?.integer() == 10)
      #expect(found["dtype"]?.string == "uint16")
      let first = found["first_tokens"]?.array?.prefix(4).map { $0.integer() ?? -1 }
      #expect(first == [97, 98, 99, 256])
    }
  }

  @Test("data make writes a task's own samples")
  func make() throws {
    let arguments = [
      "make", "--task", "markov:symbols=8", "--samples", "3", "--sequence-length", "20", "--output",
    ]
    for (name, more) in [
      ("a", []), ("b", ["--stream", "evaluation"]), ("c", ["--seed", "1"]), ("d", ["--seed", "0"]),
    ] {
      #expect(try place.statex(["data"] + arguments + [name] + more).code == 0)
    }
    let tokens = try MegatronTokens(prefix: place.file("a"))
    #expect(tokens.tokenCount == 60 && tokens.documentCount == 3)
    #expect(try place.bytes("a.bin") == place.bytes("d.bin"))
    #expect(try place.bytes("a.bin") != place.bytes("b.bin"))
    #expect(try place.bytes("a.bin") != place.bytes("c.bin"))
  }

  @Test("rows in which every token counts are measured as text, others are not")
  func madeRowsAsText() throws {
    try place.model()
    for (task, message) in [
      ("markov:symbols=8", nil), ("copying:vocab=9,tokens=4", "no text to measure"),
    ] {
      let made = try place.statex(
        "data", "make", "--task", task, "--samples", "3", "--sequence-length", "20", "--output",
        "rows")
      #expect(made.code == 0, "\(made)")
      let measured = try place.statex(
        "evaluate", "--model", "model", "--perplexity", "rows", "--sequence-length", "20")
      #expect(measured.code == (message == nil ? 0 : 65), "\(measured)")
      #expect(message.map(measured.errors.contains) ?? measured.errors.isEmpty, "\(measured)")
    }
  }

  @Test("checkpoint list, show and verify")
  func checkpoints() throws {
    let run = try place.run()
    let list = try parse(try place.statex("checkpoint", "list", run, "--json").output)
    #expect(list["checkpoints"]?.array?.map { $0["step"]?.integer() } == [4, 2])
    let shown = try parse(try place.statex("checkpoint", "show", run, "--json").output)
    #expect(shown["step"]?.integer() == 4 && shown["training"]?["seed"]?.integer() == 7)
    #expect(shown["shards"]?.integer() == 2 && shown["parameters"]?.integer() == 600)
    let step = run + "/checkpoints/step-00000002"
    #expect(try place.statex("checkpoint", "show", step).output.contains("step        2\n"))
    for target in [run, step] {
      let good = try place.statex("checkpoint", "verify", target, "--contents")
      #expect(good.code == 0 && good.errors.isEmpty && good.output.contains(": good\n"), "\(good)")
    }
  }

  @Test("checkpoint diff compares values, whatever the files are")
  func checkpointDiff() throws {
    let run = try place.run()
    let steps = [2, 4].map { run + "/checkpoints/step-0000000\($0)" }
    let found = try place.statex(["checkpoint", "diff"] + steps)
    #expect(found.code == 0, "\(found.errors)")
    // Element i is i times the step.
    #expect(
      found.output.contains("parameters/weight     599  600  1.198e+03  1.000e+00"),
      "\(found.output)")
    #expect(found.output.hasSuffix("1 tensors of both, 1 differ\n"), "\(found.output)")
    let same = try place.statex("checkpoint", "diff", run, steps[1], "--all", "--json")
    let json = try parse(same.output)
    #expect(json["tensors"]?.array?.first?["differing"]?.integer() == 0)
    let damaged = steps[0] + "/shard-00001-of-00002.safetensors.zst"
    try Data([1]).write(to: URL(fileURLWithPath: place.path + "/" + damaged))
    let refused = try place.statex(["checkpoint", "diff"] + steps)
    #expect(refused.code == 65 && refused.errorLine?.contains(damaged) == true, "\(refused.errors)")
  }

  @Test("checkpoint prune removes the old ones, unless the newest is damaged")
  func checkpointPrune() throws {
    let run = try place.run()
    let old = run + "/checkpoints/step-00000002"
    let dry = try place.statex("checkpoint", "prune", run, "--keep", "1", "--dry-run")
    #expect(dry.output == "would remove \(old)\n", "\(dry.errors)")
    #expect(
      try place.statex("checkpoint", "prune", run, "--keep", "2").output == "nothing to remove\n")
    let kept = try place.statex("checkpoint", "prune", run, "--keep", "1", "--keep-every", "2")
    #expect(kept.output == "nothing to remove\n")
    let shard =
      place.path + "/" + run + "/checkpoints/step-00000004/shard-00000-of-00002.safetensors.zst"
    let good = try Data(contentsOf: URL(fileURLWithPath: shard))
    try Data([1]).write(to: URL(fileURLWithPath: shard))
    #expect(try place.statex("checkpoint", "prune", run, "--keep", "1").code == 65)
    try good.write(to: URL(fileURLWithPath: shard))
    #expect(try place.statex("checkpoint", "prune", run, "--keep", "0").code == 64)
    let done = try place.statex("checkpoint", "prune", run, "--keep", "1")
    #expect(done.output == "removed \(old)\n", "\(done.errors)")
    #expect(
      try place.statex("checkpoint", "verify", run).output
        == "\(run)/checkpoints/step-00000004: good\n")
  }

  @Test("checkpoint verify lists every bad file in one pass")
  func damage() throws {
    let run = try place.run()
    let bad = [
      "step-00000002/shard-00000-of-00002.safetensors.zst",
      "step-00000002/shard-00001-of-00002.safetensors.zst", "step-00000004/manifest.json",
    ].map { run + "/checkpoints/" + $0 }
    for file in bad { try place.cut(file, by: 3) }
    let found = try place.statex("checkpoint", "verify", run)
    #expect(found.code == 65)
    let line = try #require(found.errorLine, "\(found.errors)")
    for file in bad { #expect(found.output.contains(file) && line.contains(file)) }
    let step = try place.statex("checkpoint", "verify", run + "/checkpoints/step-00000002")
    #expect(step.code == 65 && step.errorLine?.contains(bad[1]) == true)
    let generated = try place.statex("generate", "--model", run, "--prompt", "a")
    let reason = try #require(generated.errorLine, "\(generated.errors)")
    #expect(
      generated.code == 65 && reason.hasPrefix("\(run) holds no valid checkpoint: \(bad[2]): "))
    #expect(reason.contains("; \(bad[0]): ") && !reason.contains(bad[1]), "\(reason)")
    let shown = try place.statex("checkpoint", "show", run)
    #expect(shown.code == 65 && shown.errorLine?.contains("manifest.json") == true)
  }
}
