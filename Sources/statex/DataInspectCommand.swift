import ArgumentParser
import CommandSupport
import TokenData
import Training

extension DataCommand {
  /// `statex data inspect`: what a token file holds, or what a rank of a run will see.
  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "inspect", abstract: "Show what token files hold, or what a rank will see.",
      discussion: """
        With files: counts, the lengths of documents, the largest id, and the first documents as text where \
        --tokenizer is given or the tokenizer that made them is where it was. With --recipe: the samples that a rank will train on, made by the code that \
        training reads them with; targets that count in the loss are coloured on a terminal and in \
        [brackets] elsewhere, behind `->` where they are not the next token.
        """)

    @Argument(
      help: "PREFIX of .bin and .idx, .bin or .npy file, or pattern; with --recipe its overrides.")
    var arguments: [String] = []

    @Option(help: "A recipe, a YAML file.")
    var recipe: String?

    @Option(help: "With --recipe: whose samples to show.")
    var rank: Int?

    @Option(help: "With --recipe: ranks of the run (default 1).")
    var ranks: Int?

    @Option(help: "With --recipe: the first step to show (default 1).")
    var step: Int?

    @Option(help: "Samples or documents to show (default 3).")
    var first: Int?

    @Option(
      help:
        "What decodes stored tokens: a tokenizer.json, its directory, or `byte` (default: what made them)."
    )
    var tokenizer: String?

    @Option(help: "In files without an index, the id after which a document ends.")
    var endOfText: Int32?

    @Option(help: "Tokens of each to show, about; 0 for all.")
    var tokens = 160

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
      if recipe == nil {
        guard !arguments.isEmpty else {
          throw ValidationError("give token files, or --recipe FILE")
        }
        for (option, value) in [("--rank", rank), ("--ranks", ranks), ("--step", step)]
        where value != nil {
          throw ValidationError("\(option) needs --recipe")
        }
      }
      guard endOfText ?? 0 >= 0 else {
        throw ValidationError("--end-of-text must not be negative")
      }
      guard endOfText == nil || recipe == nil else {
        throw ValidationError("--end-of-text: the recipe says it")
      }
      try requireCount(ranks ?? 1, "--ranks")
      try requireCount(step ?? 1, "--step")
      try requireCount(first ?? 1, "--first")
      guard (0..<(ranks ?? 1)).contains(rank ?? 0) else {
        throw ValidationError("--rank must be between 0 and \((ranks ?? 1) - 1), below --ranks")
      }
      guard tokens >= 0 else { throw ValidationError("--tokens must not be negative") }
    }

    func run() throws {
      let first = first ?? 3
      guard let recipe else {
        let files = try TokenFileDescription(
          TokenSelection(arguments, endOfText: endOfText), first: first, tokenizer: tokenizer,
          limit: tokens)
        if json { printJSON(files.json) } else { print(files.text) }
        return
      }
      let place = RankSamples.Place(
        rank: rank ?? 0, ranks: ranks ?? 1, step: step ?? 1, first: first)
      let samples = try RankSamples(
        Recipe.load(path: recipe, overrides: arguments), place, tokenizer: tokenizer,
        limit: tokens)
      if json { printJSON(samples.json) } else { print(samples.text) }
    }
  }
}
