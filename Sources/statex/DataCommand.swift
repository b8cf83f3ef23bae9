import ArgumentParser
import CommandSupport
import RecallTasks
import TokenData

/// `statex data`: token files.
struct DataCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "data", abstract: "Create and inspect token files.",
    subcommands: [Tokenize.self, Inspect.self, Make.self])

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

    @Option(help: "A directory with a tokenizer.json, or `byte`.")
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

  /// `statex data inspect`: what a token file holds.
  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "inspect", abstract: "Show a Megatron token file's size and first tokens.")

    @Argument(help: "PREFIX of PREFIX.bin and PREFIX.idx.")
    var prefix: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
      let description = try PathDescription.tokens(prefix)
      if json {
        printJSON(description.json)
      } else {
        print(description.text)
      }
    }
  }

  /// `statex data make`: a generated task's samples as a token file.
  struct Make: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "make", abstract: "Write samples of a generated task as a Megatron token file.",
      discussion: """
        Each sample's --sequence-length input tokens are one document; which targets count is not \
        kept, so this is for tasks whose every token counts, such as markov.
        """)

    /// Which of a task's two streams.
    enum Stream: String, CaseIterable, ExpressibleByArgument {
      case training, evaluation

      var samples: SampleStream { self == .training ? .training : .evaluation }
    }

    @Option(help: "NAME or NAME:key=value,...")
    var task: TaskArgument

    @Option(help: "Number of samples.")
    var samples: Int

    @Option(help: "Tokens per sample.")
    var sequenceLength: Int

    @Option(help: "PREFIX of PREFIX.bin and PREFIX.idx.")
    var output: String

    @Option(help: "The random seed of the samples.")
    var seed: UInt64 = 0

    @Option(help: "Write samples of training, or those of evaluation.")
    var stream = Stream.training

    @Option(help: "Tasks on text: a directory with a tokenizer.json, or `byte`.")
    var tokenizer: String?

    func validate() throws {
      try requireCount(samples, "--samples")
      try requireCount(sequenceLength, "--sequence-length")
    }

    func run() throws {
      let configuration = try RecallTaskConfiguration(name: task.name, options: task.options)
      let source = try configuration.makeSource(
        sequenceLength: sequenceLength, seed: seed, stream: stream.samples,
        tokenizer: try tokenizer.map { name throws(TokenDataError) in try loadTokenizer(name) })
      let writer = try MegatronWriter(prefix: output, vocabularySize: source.requiredVocabulary)
      let sample = SampleBatch(sampleCount: 1, sequenceLength: sequenceLength)
      for index in 0..<samples {
        try source.write(sample: UInt64(index), into: sample[0])
        try writer.append(Array(sample.inputs))
      }
      try writer.finish()
      print("wrote \(output): \(writer.documentCount) documents, \(writer.tokenCount) tokens")
    }
  }
}
