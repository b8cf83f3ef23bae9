import Foundation
import Testing

/// A command that must fail, how, and what its one line must say.
struct WrongCommand: Sendable, CustomTestStringConvertible {
  let arguments: String
  let code: Int32
  let says: String

  init(_ arguments: String, _ code: Int32, _ says: String) {
    (self.arguments, self.code, self.says) = (arguments, code, says)
  }

  var testDescription: String { "statex \(arguments)" }
}

@Suite("Errors of statex")
struct ErrorTests {
  private let place: Workplace

  init() throws {
    place = try Workplace()
    try place.model()
    try place.statex(
      "expand", "--model", "model", "--output", "merged", "--layers", "1", "--heads", "1")
    try place.write("{", "broken.json")
    try FileManager.default.createDirectory(
      atPath: place.file("empty"), withIntermediateDirectories: true)
  }

  private func expect(_ wrong: WrongCommand) throws {
    let outcome = try place.statex(wrong.arguments.split(separator: " ").map(String.init))
    #expect(outcome.code == wrong.code, "\(outcome)")
    let line = try #require(outcome.errorLine, "stderr: \(outcome.errors)")
    #expect(line.contains(wrong.says), "\(line)")
  }

  @Test(
    "wrong usage is 64",
    arguments: [
      WrongCommand("expnd", 64, "expnd"),
      WrongCommand("expand --model model --output x", 64, "either --every N or --layers"),
      WrongCommand("expand --model model --output x --every 2 --layers 1", 64, "--every"),
      WrongCommand("expand --model model --output x --layers 1,9", 64, "layer 9"),
      WrongCommand("expand --model model --output x --layers 1,x", 64, "--layers"),
      WrongCommand("expand --model model --output x --every 2 --heads 3", 64, "divide"),
      WrongCommand("expand --model model --output x --every 2 --state-factor 2", 64, "Mamba2"),
      WrongCommand("expand --model model --output x --every 2 --init magic", 64, "magic"),
      WrongCommand("expand --model model --output ./model --every 2", 64, "the model itself"),
      WrongCommand("expand --output x --every 2", 64, "--model"),
      WrongCommand("convert --model model --output x --max-shard-size 5XB", 64, "5XB"),
      WrongCommand("convert --model model --output empty/.. --dtype float64", 64, "float64"),
      WrongCommand("convert --model merged --output x --uniform", 64, "no padded form"),
      WrongCommand("evaluate --model model", 64, "nothing to measure"),
      WrongCommand(
        "evaluate --model model --tasks mqar", 64,
        "Unknown option '--tasks'. Did you mean '--task'?"),
      WrongCommand(
        "data make --smaples=3", 64, "Unknown option '--smaples'. Did you mean '--samples'"),
      WrongCommand("inspect --nothing-like-it", 64, "Unknown option '--nothing-like-it'"),
      WrongCommand("evaluate --model model --task mqra", 64, "did you mean `mqar`?"),
      WrongCommand("evaluate --model model --task mqar:pears=4", 64, "did you mean `pairs`?"),
      WrongCommand("evaluate --model model --task mqar:pairs", 64, "mqar:pairs"),
      WrongCommand("evaluate --model model --task mqar:pairs=[[4]]", 64, "mqar:pairs"),
      WrongCommand("evaluate --model model --task mqar", 64, "vocabulary has 264"),
      WrongCommand("evaluate --model model --task copying --task copying", 64, "as=NAME"),
      WrongCommand("evaluate --model model --task copying --samples 0", 64, "--samples"),
      WrongCommand("evaluate --model model --task copying --threads 0", 64, "--threads"),
      WrongCommand(
        "evaluate --model model --task passkey --tokenizer byte --sequence-length 30", 64,
        "longer sequence"),
      WrongCommand("generate --model model", 64, "--prompt"),
      WrongCommand("generate --model model --prompt-tokens 1,999", 64, "999"),
      WrongCommand("generate --model model --prompt-tokens 1,99999999999", 64, "99999999999"),
      WrongCommand("generate --model model --prompt-tokens 1 --temperature 0", 64, "temperature"),
      WrongCommand("data make --task markov --samples 0 --sequence-length 9 --output x", 64, "1"),
      WrongCommand(
        "data make --task passkey --samples 1 --sequence-length 900 --output x", 64, "tokenizer"),
    ])
  func usage(_ wrong: WrongCommand) throws { try expect(wrong) }

  @Test(
    "bad data are 65",
    arguments: [
      WrongCommand("expand --model empty --output x --every 2", 65, "config.json"),
      WrongCommand("inspect broken.json", 65, "broken.json"),
      WrongCommand("inspect empty", 65, "empty"),
      WrongCommand("data tokenize broken.json --tokenizer byte --output x", 65, "broken.json"),
      WrongCommand("data tokenize model --tokenizer byte --output x --field f", 65, "config.json"),
      WrongCommand("data tokenize notes.md --tokenizer byte --output x", 65, ".ndjson"),
      WrongCommand("checkpoint list model", 65, "checkpoints"),
      WrongCommand("checkpoint verify empty", 65, "empty"),
    ])
  func data(_ wrong: WrongCommand) throws { try expect(wrong) }

  @Test(
    "files that are not there, or cannot be written, are 74",
    arguments: [
      WrongCommand("convert --model nowhere --output x", 74, "nowhere"),
      WrongCommand("inspect nowhere", 74, "nowhere"),
      WrongCommand("checkpoint list nowhere", 74, "nowhere"),
      WrongCommand("evaluate --model model --perplexity nowhere", 74, "nowhere.idx"),
      WrongCommand("evaluate --model model --task copying --json no/report", 74, "no/report"),
      WrongCommand("evaluate --model model --task copying --json /dev/full", 74, "/dev/full"),
      WrongCommand("generate --model model --prompt Hi --tokenizer nowhere", 74, "nowhere"),
      WrongCommand(
        "data make --task markov --samples 1 --sequence-length 9 --output no/x", 74, "no/x"),
      WrongCommand("convert --model model --output broken.json/x", 74, "broken.json"),
    ])
  func files(_ wrong: WrongCommand) throws { try expect(wrong) }

  @Test("a token pair is written whole or not at all")
  func halfAPair() throws {
    try place.write("{\"text\": \"a\"}\n", "a.jsonl")
    try FileManager.default.createDirectory(
      atPath: place.file("pair.idx"), withIntermediateDirectories: true)
    try expect(
      WrongCommand(
        "data tokenize a.jsonl --tokenizer byte --output pair --overwrite", 74, "pair.idx"))
    #expect(!FileManager.default.fileExists(atPath: place.file("pair.bin")))
  }

  @Test("damaged models and token files are 65 and name the file")
  func damage() throws {
    try place.tokenFile("text", count: 60)
    try expect(
      WrongCommand("evaluate --model model --perplexity text --sequence-length 60", 65, "text.bin"))
    try place.cut("text.bin", by: 7)
    try expect(WrongCommand("inspect text", 65, "text"))
    try place.cut("model/model.safetensors", by: 5)
    for command in ["convert --output x", "evaluate --task copying", "generate --prompt-tokens 1"] {
      try expect(WrongCommand("\(command) --model model", 65, "model/model.safetensors"))
    }
    #expect(!FileManager.default.fileExists(atPath: place.file("x")))
    try place.write("{\"model_type\": \"gpt2\"}", "model/config.json")
    try expect(WrongCommand("inspect model", 65, "model_type"))
  }

  @Test(
    "weights that are no numbers are 65 and named",
    arguments: [
      "generate --model model --prompt-tokens 1", "evaluate --model model --task copying",
      "expand --model model --output x --every 2", "convert --model model --output x",
    ])
  func damagedWeights(arguments: String) throws {
    var all = try place.bytes("model/model.safetensors")
    for i in (all.count - 100)..<all.count { all[i] = 0xFF }
    try Data(all).write(to: URL(fileURLWithPath: place.file("model/model.safetensors")))
    try expect(WrongCommand(arguments, 65, "tensor 'model.norm.weight' holds NaN"))
    #expect(!FileManager.default.fileExists(atPath: place.file("x")))
  }

  @Test("a loss or an answer that is no number is 65")
  func notNumbers() throws {
    // Weights that are numbers, but whose sums are not.
    try place.model { parameters in parameters["lm_head.weight"]?.update(repeating: 3e38) }
    try place.tokenFile("text", count: 60)
    for (arguments, what) in [
      ("evaluate --model model --perplexity text --sequence-length 30 --json report", "the loss"),
      ("evaluate --model model --task mqar:vocab=64 --json report", "task mqar is not a number"),
      ("generate --model model --prompt-tokens 1", "next token is not a number"),
    ] {
      try expect(WrongCommand(arguments, 65, what))
      #expect(!FileManager.default.fileExists(atPath: place.file("report")))
    }
  }

  @Test("help goes to stdout with code 0")
  func help() throws {
    for arguments in [["--help"], ["evaluate", "--help"], ["data", "make", "--help"]] {
      let outcome = try place.statex(arguments)
      #expect(outcome.code == 0 && outcome.errors.isEmpty && outcome.output.contains("USAGE:"))
    }
  }

  @Test("output that cannot be written is 74")
  func fullOutput() throws {
    let full = try #require(FileHandle(forWritingAtPath: "/dev/full"))
    let outcome = try place.statex("inspect", "model", output: full)
    #expect(outcome.code == 74 && outcome.errorLine != nil, "\(outcome)")
  }
}
