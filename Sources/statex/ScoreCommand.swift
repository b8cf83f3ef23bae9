import ArgumentParser
import CommandSupport
import Evaluation
import Files
import Foundation
import JSON
import TokenData

/// `statex score`: answers lm-evaluation-harness's requests, one JSON object a line.
struct ScoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "score", abstract: "Answer requests for likelihoods and generated text.",
    discussion: """
      Reads one JSON object per line from stdin (or --requests FILE) and writes one answer per line, \
      in the same order. Requests are answered together at an empty line, at the end, or when there \
      are 4096 of them. A request that cannot be answered gets an answer with an error. With \
      --listen, clients on this machine send the same lines over a socket, after a first line with \
      the token. docs/python.md describes requests and answers.
      """)

  @Option(help: "A Hugging Face model directory.")
  var model: String

  @Option(help: "Read the requests from this file.")
  var requests: String?

  @Option(help: "Serve 127.0.0.1:PORT, [::1]:PORT or unix:PATH until SIGTERM (port 0: any).")
  var listen: String?

  @Option(help: "The file with the token that clients of --listen must send.")
  var tokenFile: String?

  @Option(
    help:
      "A directory with a tokenizer.json, such a file, or `byte` (default: the model's, if any).")
  var tokenizer: String?

  @Option(help: "Write the numbers of requests and of tokens asked and computed to this file.")
  var json: String?

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    guard (listen == nil) == (tokenFile == nil) else {
      throw ValidationError("--listen and --token-file go together")
    }
    guard listen == nil || requests == nil else {
      throw ValidationError("give either --listen or --requests")
    }
    _ = try address()
  }

  private func address() throws -> LocalAddress? {
    do throws(LocalAddress.Problem) {
      return try listen.map { text throws(LocalAddress.Problem) in try LocalAddress(text) }
    } catch {
      throw ValidationError("--listen \(listen ?? ""): \(error)")
    }
  }

  func run() throws {
    if let json { try FileSystem.requireCreatable(json) }
    let token = try tokenFile.map { try ScoreServer.token(file: $0) }
    let scorer = RequestScorer(try compute.load(model), tokenizer: try findTokenizer())
    if let token, let address = try address() {
      try ScoreServer(scorer: scorer, model: model, token: token).run(at: address)
    } else {
      try answerInput(scorer)
    }
    if let json { try FileReplacement.write(scorer.work.json.encoded() + [0x0A], to: json) }
  }

  private func answerInput(_ scorer: RequestScorer) throws {
    let input = try requests.map { try InputFile(path: $0) } ?? .standardInput()
    var lines = LineReader(input, limit: ScoringSession.maximumLineBytes)
    var session = ScoringSession(scorer)
    while let line = try lines.next() { write(session.take(line)) }
    write(session.finish())
  }

  private func write(_ answers: String) {
    guard !answers.isEmpty else { return }
    print(answers, terminator: "")
    fflush(nil)
  }

  private func findTokenizer() throws -> (any Tokenizer)? {
    if let tokenizer { return try loadTokenizer(tokenizer) }
    let file = model + "/tokenizer.json"
    return try FileSystem.exists(file) ? try loadTokenizer(model) : nil
  }
}
