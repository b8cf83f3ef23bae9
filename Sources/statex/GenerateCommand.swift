import ArgumentParser
import CommandSupport
import Evaluation
import Files
import Foundation
import JSON
import Kernels
import TokenData

/// `statex generate`: continues a prompt.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a prompt, greedily unless an option of drawing is given.",
    discussion: """
      With --prompt or --prompt-file, text is printed as it comes, up to a stop text or an end id: \
      `eos_token_id` of the model's generation_config.json, or the tokenizer's. With --prompt-tokens, \
      exactly --max-new-tokens ids are printed, separated by commas. --save-state keeps what the model \
      knows after the prompt; with --state, the prompt follows on that.
      """)

  /// The number type of weights that single tokens are computed with.
  enum WeightType: String, CaseIterable, ExpressibleByArgument {
    case float32, bfloat16
  }

  @Option(help: "A Hugging Face model directory, a run (its newest checkpoint), or a checkpoint.")
  var model: String

  @Option(help: "The text to continue.")
  var prompt: String?

  @Option(help: "The file with the text to continue; `-` is standard input.")
  var promptFile: String?

  @Option(help: "The token ids to continue, for example 1,2,3.")
  var promptTokens: IntegerList?

  @Option(help: "Continue after the context saved in this file; a prompt is then optional.")
  var state: String?

  @Option(help: "Save the context after the prompt to this file.")
  var saveState: String?

  @Option(help: "A directory with a tokenizer.json, or `byte` (default: the model's).")
  var tokenizer: String?

  @Option(help: "The maximum number of tokens to generate; 0 with --save-state: none.")
  var maxNewTokens = 64

  @Option(help: "Stop before this text (repeatable); needs a text prompt.")
  var stop: [String] = []

  @Option(help: "Draw tokens from softmax(logits / temperature).")
  var temperature: Double?

  @Option(help: "Draw among the K most likely tokens only.")
  var topK: Int?

  @Option(help: "Draw among the most likely tokens only whose probabilities add up to this.")
  var topP: Double?

  @Option(help: "The random seed.")
  var seed: UInt64 = 0

  @Option(
    help: "Weights of generated tokens; bfloat16 reads half the memory and takes half as much more."
  )
  var decodeWeights = WeightType.float32

  @Option(help: "Also write the generated ids and any text to this file, as JSON.")
  var json: String?

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    let prompts = [prompt != nil, promptFile != nil, promptTokens != nil].count { $0 }
    guard prompts == 1 || prompts == 0 && state != nil else {
      throw ValidationError(
        "give one of --prompt TEXT, --prompt-file FILE and --prompt-tokens 1,2,3")
    }
    if maxNewTokens != 0 || saveState == nil {
      try requireCount(maxNewTokens, "--max-new-tokens")
    }
    guard temperature ?? 1 > 0, temperature ?? 1 < .infinity else {
      throw ValidationError("--temperature must be above 0; leave it out for greedy decoding")
    }
    try requireCount(topK ?? 1, "--top-k")
    guard topP ?? 1 > 0, topP ?? 1 <= 1 else {
      throw ValidationError("--top-p must be above 0 and at most 1")
    }
    guard promptTokens == nil || stop.isEmpty && tokenizer == nil else {
      throw ValidationError("--stop and --tokenizer need --prompt or --prompt-file")
    }
    guard stop.allSatisfy({ !$0.isEmpty }) else {
      throw ValidationError("--stop must not be empty")
    }
  }

  private var choice: TokenChoice {
    guard temperature != nil || topK != nil || topP != nil else { return .greedy }
    let sampling = Sampling(temperature: temperature ?? 1, topK: topK, topP: topP)
    return .sampled(sampling, seed: seed)
  }

  func run() throws {
    for path in [json, saveState] { try path.map { try FileSystem.requireCreatable($0) } }
    if let promptTokens {
      try continueTokens(promptTokens.values)
    } else {
      let text = try promptFile.map { try promptText($0) } ?? prompt ?? ""
      try continueText(text)
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
    let evaluated = try compute.load(model)
    let generator = Generator(evaluated, weights: weights(of: evaluated))
    let generated = try generate(generator, evaluated, prompt, tokenizer: nil)
    try report(generated, text: nil)
    if maxNewTokens > 0 { print(generated.map(String.init).joined(separator: ",")) }
  }

  private func continueText(_ text: String) throws {
    let source = try ModelSource(model)
    let words = try source.tokenizer(tokenizer)
    let ends = try GenerationEnd(model: source.companionDirectory, words).ids
    let prompt = words.encode(text, addSpecial: state == nil)
    configureCompute(threads: compute.threads)
    let evaluated = try source.load(segmentLength: compute.segmentLength)
    let generator = Generator(
      evaluated, usableVocabulary: words.vocabularySize, weights: weights(of: evaluated))
    var stream = TextStream(words, stops: stop)
    var whole = ""
    func show(_ piece: String) {
      guard !piece.isEmpty else { return }
      whole += piece
      print(piece, terminator: "")
      fflush(nil)
    }
    let generated = try generate(
      generator, evaluated, prompt, tokenizer: words.identity, stopTokens: ends
    ) { generated in
      if let last = generated.last { show(stream.append(last)) }
      return stream.isStopped
    }
    show(stream.finish())
    if maxNewTokens > 0 { print() }
    try report(generated, text: whole)
  }

  private func weights(of model: EvaluatedModel) -> BFloat16Weights? {
    decodeWeights == .bfloat16 && maxNewTokens > 0 ? BFloat16Weights(model.parameters) : nil
  }

  /// Reads the prompt, saves the context if asked for, and generates.
  private func generate(
    _ generator: Generator, _ evaluated: EvaluatedModel, _ prompt: [Int32], tokenizer: String?,
    stopTokens: Set<Int32> = [], isComplete: ([Int32]) -> Bool = { _ in false }
  ) throws -> [Int32] {
    var start = try state.map {
      try ContextState(contentsOf: $0, of: evaluated, tokenizer: tokenizer)
    }
    var rest = prompt
    if let saveState {
      let context = try generator.context(prompt, after: start)
      try context.write(to: saveState, of: evaluated, tokenizer: tokenizer)
      warn("\(saveState): the context of \(context.tokenCount) tokens")
      (start, rest) = (context, [])
    }
    guard maxNewTokens > 0 else { return [] }
    return try generator.continuation(
      of: rest, after: start, maximumNewTokens: maxNewTokens, choice: choice,
      stopTokens: stopTokens, isComplete: isComplete)
  }

  private func report(_ tokens: [Int32], text: String?) throws(FileError) {
    guard let json else { return }
    var members = [JSONMember("tokens", .array(tokens.map { .integer($0) }))]
    if let text { members.append(JSONMember("text", .string(text))) }
    try FileReplacement.write(JSONValue.object(members).encoded() + [0x0A], to: json)
  }
}
