import ArgumentParser
import CommandSupport
import TokenData

extension DataCommand {
  /// `statex data tokenize`: text to tokens.
  struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "tokenize", abstract: "Turn text into a Megatron token file.",
      discussion: """
        Reads .txt (one document), .jsonl and .jsonl.zst (the member `text` of each line, or that named \
        by --field). Each document ends with the tokenizer's end-of-text id. A line that cannot be read \
        ends the work and leaves nothing; with --skip-bad it is left out and counted, with \
        --skip-bad=replace bytes that are not UTF-8 and lone surrogates become U+FFFD.
        """)

    /// What becomes of bad lines.
    enum SkipBad: ExpressibleByArgument, CustomStringConvertible {
      case lines, replace
      case unknown(String)

      /// Nil for what is a file: the option was given without a value.
      init?(argument: String) {
        switch argument {
        case "lines": self = .lines
        case "replace": self = .replace
        case _ where argument.contains("."): return nil
        default: self = .unknown(argument)
        }
      }

      var description: String {
        switch self {
        case .lines: "lines"
        case .replace: "replace"
        case .unknown(let text): text
        }
      }
    }

    @Argument(help: "Text files, in order.")
    var input: [String]

    @Option(help: "`byte`, a directory with a tokenizer.json, or such a file.")
    var tokenizer: String

    @Option(help: "PREFIX of PREFIX.bin and PREFIX.idx.")
    var output: String

    @Option(help: "The JSON member that holds the text.")
    var field = "text"

    @Option(
      defaultAsFlag: .lines, parsing: .next,
      help: "Skip documents that cannot be read (`lines`), or repair their text first (`replace`)."
    )
    var skipBad: SkipBad?

    func validate() throws {
      if case .unknown(let word) = skipBad {
        throw ValidationError("--skip-bad: `\(word)` is neither `lines` nor `replace`")
      }
    }

    private var reading: TextReading {
      var reading = TextReading()
      reading.field = field
      switch skipBad {
      case nil, .unknown: reading.badInput = .refuse
      case .lines: reading.badInput = .skip
      case .replace: reading.badInput = .replace
      }
      return reading
    }

    func run() throws {
      let made = try TextTokenizer(
        tokenizer: loadTokenizer(tokenizer), outputPrefix: output, reading: reading
      ).run(files: input)
      for place in made.skipped.first { warn("left out \(place)") }
      if made.skipped.count > made.skipped.first.count {
        warn("left out \(made.skipped.count) documents in all; the first are named above")
      }
      print(
        "wrote \(output): \(made.documents) documents, \(made.tokens) tokens from"
          + " \(made.textBytes) bytes of text")
    }
  }
}
