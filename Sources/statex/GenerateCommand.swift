import ArgumentParser
import CommandSupport
import Evaluation
import Files
import Foundation
import JSON
import TokenData

/// `statex generate`: continues a prompt.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Continue a prompt, greedily unless a temperature is given.",
    discussion: """
      With --prompt or --prompt-file, the text that follows is printed, up to the end-of-text id. With \
      --prompt-tokens, exactly --max-new-tokens ids are printed, separated by commas.
      """)

  @Option(help: "A Hugging Face model directory.")
  var model: String

  @Option(help: "The text to continue.")
  var prompt: String?

  @Option(help: "The file with the text to continue; `-` is standard input.")
  var promptFile: String?

  @Option(help: "The token ids to continue, for example 1,2,3.")
  var promptTokens: IntegerList?

  @Option(help: "A directory with a tokenizer.json, such a file, or `byte` (default: the model's).")
  var tokenizer: String?

  @Option(help: "The maximum number of tokens to generate.")
  var maxNewTokens = 64

  @Option(help: "Stop before this text (repeatable); needs a text prompt.")
  var stop: [String] = []

  @Option(help: "Draw tokens from softmax(logits / temperature).")
  var temperature: Double?

  @Option(help: "The random seed.")
  var seed: UInt64 = 0

  @Option(help: "Also write the generated ids and any text to this file, as JSON.")
  var json: String?

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    guard [prompt != nil, promptFile != nil, promptTokens != nil].count(where: { $0 }) == 1 else {
      throw ValidationError(
        "give one of --prompt TEXT, --prompt-file FILE and --prompt-tokens 1,2,3")
    }
    try requireCount(maxNewTokens, "--max-new-tokens")
    guard temperature ?? 1 > 0, temperature ?? 1 < .infinity else {
      throw ValidationError("--temperature must be above 0; leave it out for greedy decoding")
    }
    guard promptTokens == nil || stop.isEmpty && tokenizer == nil else {
      throw ValidationError("--stop and --tokenizer need --prompt or --prompt-file")
    }
    guard stop.allSatisfy({ !$0.isEmpty }) else {
      throw ValidationError("--stop must not be empty")
    }
  }

  private var choice: TokenChoice {
    temperature.map { .sampled(temperature: $0, seed: seed) } ?? .greedy
  }

  func run() throws {
    if let json { try FileSystem.requireCreatable(json) }
    if let values = promptTokens?.values {
      try continueTokens(values)
    } else {
      try continueText(try prompt ?? promptText(promptFile ?? "-"))
    }
  }

  /// The prompt in a file, or on standard input.
  private func promptText(_ path: String) throws -> String {
    let file = try path == "-" ? InputFile.standardInput() : InputFile(path: path)
    guard let text = String(validating: try file.rest(), as: UTF8.self) else {
      throw CommandError.data("--prompt-file \(path) is not UTF-8 text")
    }
    return text
  }

  private func continueTokens(_ values: [Int]) throws {
    let prompt = try values.map { value throws(CommandError) in
      guard let token = Int32(exactly: value) else {
        throw .usage("--prompt-tokens: \(value) is not a token id")
      }
      return token
    }
    let generated = try Generator(try compute.load(model)).continuation(
      of: prompt, maximumNewTokens: maxNewTokens, choice: choice)
    try report(generated, text: nil)
    print(generated.map(String.init).joined(separator: ","))
  }

  private func continueText(_ text: String) throws {
    let tokenizer = try loadTokenizer(tokenizer ?? model)
    let prompt = tokenizer.encode(text, addSpecial: true)
    let generator = Generator(
      try compute.load(model), usableVocabulary: tokenizer.vocabularySize)
    let generated = try generator.continuation(
      of: prompt, maximumNewTokens: maxNewTokens, choice: choice,
      stopTokens: Set([tokenizer.endOfText].compactMap { $0 })
    ) { generated in
      stop.isEmpty ? false : firstStop(in: tokenizer.decode(generated)) != nil
    }
    let continuation = tokenizer.decode(generated)
    let text = firstStop(in: continuation).map { String(continuation[..<$0]) } ?? continuation
    try report(generated, text: text)
    print(text)
  }

  private func report(_ tokens: [Int32], text: String?) throws(FileError) {
    guard let json else { return }
    var members = [JSONMember("tokens", .array(tokens.map { .integer($0) }))]
    if let text { members.append(JSONMember("text", .string(text))) }
    try FileReplacement.write(JSONValue.object(members).encoded() + [0x0A], to: json)
  }

  /// Where the first stop text begins.
  private func firstStop(in text: String) -> String.Index? {
    stop.compactMap { text.firstRange(of: $0)?.lowerBound }.min()
  }
}
