import Foundation
import JSON
import Testing
import TokenData

/// `statex generate` on text: prompts, ends, drawing, saved contexts.
@Suite(.serialized) struct GenerateTests {
  private let place: Workplace

  init() throws {
    place = try Workplace()
    try place.model()
  }

  private func generate(_ more: String...) throws -> Workplace.Outcome {
    try place.statex(["generate", "--model", "model", "--tokenizer", "byte"] + more)
  }

  /// The ids that the report names.
  private func ids(_ more: [String]) throws -> [Int] {
    let done = try place.statex(
      ["generate", "--model", "model", "--tokenizer", "byte", "--json", "ids.json"] + more)
    #expect(done.code == 0, "\(done)")
    return try (place.json("ids.json")["tokens"]?.array ?? []).compactMap {
      $0.integer(as: Int.self)
    }
  }

  @Test func aLongPromptComesFromAFileOrFromStandardInput() throws {
    let prompt = String(repeating: "The grass is green. The sky is blue.\n", count: 8200)
    try place.write(prompt, "long.txt")
    #expect(prompt.utf8.count > 300_000)
    let file = try generate("--prompt-file", "long.txt", "--max-new-tokens", "5")
    #expect(file.code == 0 && !file.output.isEmpty, "\(file)")
    // The context of the whole prompt is the same when it is read in two parts.
    try place.write(String(prompt.prefix(200_000)), "first.txt")
    try place.write(String(prompt.dropFirst(200_000)), "rest.txt")
    let saved = try generate(
      "--prompt-file", "first.txt", "--max-new-tokens", "0", "--save-state", "context")
    #expect(saved.code == 0 && saved.output.isEmpty && saved.errors.contains("200000 tokens"))
    for _ in 0..<2 {
      let asked = try generate(
        "--state", "context", "--prompt-file", "rest.txt", "--max-new-tokens", "5")
      #expect(asked.output == file.output, "\(asked)")
    }
  }

  @Test func anEndIsANumberOrAListOfTheModelsConfiguration() throws {
    let prompt = ["--prompt", "Hello", "--max-new-tokens", "12"]
    let all = try ids(prompt)
    #expect(all.count == 12)
    let end = all[4]
    let expected = all.firstIndex(of: end).map { Array(all[..<$0]) }
    for value in ["\(end)", "[263, \(end)]"] {
      try place.write("{\"eos_token_id\": \(value)}", "model/generation_config.json")
      #expect(try ids(prompt) == expected, "\(value)")
    }
    try place.write("{\"eos_token_id\": null}", "model/generation_config.json")
    #expect(try ids(prompt) == all)
    for value in ["\"</s>\"", "-1", "[1, 2.5]"] {
      try place.write("{\"eos_token_id\": \(value)}", "model/generation_config.json")
      let done = try generate("--prompt", "Hello")
      #expect(
        done.code == 65 && done.errorLine?.contains("generation_config.json") == true
          && done.errorLine?.contains("eos_token_id") == true, "\(done)")
    }
  }

  @Test func textEndsBeforeTheFirstOfSeveralStops() throws {
    let whole = try generate("--prompt", "Hello", "--max-new-tokens", "30").output.dropLast()
    let characters = Array(whole)
    #expect(characters.count > 12)
    let (near, far) = (String(characters[3...4]), String(characters[8...9]))
    let cut = try generate(
      "--prompt", "Hello", "--max-new-tokens", "30", "--stop", far, "--stop", near)
    let at = try #require(whole.firstRange(of: near)).lowerBound
    let other = try #require(whole.firstRange(of: far)).lowerBound
    #expect(cut.output == whole[..<min(at, other)] + "\n")
  }

  @Test func drawsFollowSeedAndCuts() throws {
    let prompt = ["--prompt", "Hello", "--max-new-tokens", "20"]
    let greedy = try ids(prompt)
    #expect(try ids(prompt + ["--top-k", "1"]) == greedy)
    #expect(try ids(prompt + ["--top-p", "1e-9"]) == greedy)
    #expect(try ids(prompt + ["--top-k", "9"]) == ids(prompt + ["--top-k", "9", "--seed", "0"]))
    #expect(try ids(prompt + ["--top-k", "9"]) != ids(prompt + ["--top-k", "9", "--seed", "1"]))
    #expect(try ids(prompt + ["--top-p", "0.9"]) != greedy)
  }

  @Test func roundedWeightsGenerateAndOtherModelsContextsAreRefused() throws {
    let half = try ids(["--prompt", "Hello", "--decode-weights", "bfloat16"])
    #expect(!half.isEmpty)
    try place.model("other", heads: 2)
    let saved = try generate("--prompt", "Hello", "--save-state", "context")
    #expect(saved.code == 0 && !saved.output.isEmpty)
    let refused = try place.statex(
      "generate", "--model", "other", "--tokenizer", "byte", "--state", "context")
    #expect(
      refused.code == 65 && refused.errorLine?.contains("another model") == true, "\(refused)")
    let ids = try place.statex("generate", "--model", "model", "--state", "context")
    #expect(ids.code != 0, "the model has no tokenizer of its own")
  }

  @Test(arguments: [
    ["--top-k", "0"], ["--top-p", "0"], ["--top-p", "1.5"], ["--temperature", "-1"],
    ["--max-new-tokens", "0"], ["--decode-weights", "int8"],
  ])
  func wrongOptionsAreOneLine(_ options: [String]) throws {
    let done = try place.statex(
      ["generate", "--model", "model", "--tokenizer", "byte", "--prompt", "x"] + options)
    #expect(done.code == 64 && done.errorLine?.contains(options[0]) == true, "\(done)")
  }
}
