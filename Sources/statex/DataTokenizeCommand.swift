import ArgumentParser
import CommandSupport
import Files
import Foundation
import Kernels
import TokenData

extension DataCommand {
  /// `statex data tokenize`: text to tokens.
  struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "tokenize", abstract: "Turn text into a Megatron token file.",
      discussion: """
        Reads .jsonl and .ndjson (the member `text` of the object in each line, or that named by \
        --field), .json (an array of such objects, or objects one after the other) and .txt (one \
        document), each also compressed (.zst, .gz). Parquet is read through a pipe: \
        python3 -m statex.parquet FILES | statex data tokenize - ...

        Each document ends with the tokenizer's end-of-text id. A document that cannot be read \
        ends the work; with --skip-bad it is left out, counted and named in PREFIX.skipped.jsonl, with \
        --skip-bad=replace bytes that are not UTF-8 and lone surrogates become U+FFFD.

        Interrupted work is kept in PREFIX.unfinished: the same command goes on after the last file that \
        was done. PREFIX.manifest.json says what the tokens were made from.
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
        case _ where argument.contains { "./*?[".contains($0) } || argument == "-": return nil
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

    @Argument(help: "Files, patterns in quotes, directories, or - for standard input; in order.")
    var input: [String] = []

    @Option(
      help: "A file that names inputs, one a line, which come after those given as arguments.")
    var list: String?

    @Option(help: "What every input is, whatever its name: jsonl, json or txt.")
    var format: TextInput.Format?

    @Option(help: "A tokenizer.json, a directory with one, or `byte`.")
    var tokenizer: String

    @Option(help: "PREFIX of PREFIX.bin and PREFIX.idx.")
    var output: String

    @Option(help: "The JSON member that holds the text.")
    var field = "text"

    @Option(help: "Put the beginning-of-text id before each document: template, always or never.")
    var bos = DocumentEnds.Beginning.template

    @Option(help: "Put the end-of-text id after each document: always or never.")
    var eos = DocumentEnds.End.always

    @Option(
      defaultAsFlag: .lines, parsing: .next,
      help: "Skip documents that cannot be read (`lines`), or repair their text first (`replace`)."
    )
    var skipBad: SkipBad?

    @Option(help: "Threads; does not affect the output (default: all processors).")
    var threads: Int?

    @Option(
      help:
        "The longest document as it is stored, for example 1GB (default: 256 MiB); memory follows it."
    )
    var longestDocument: ByteSize?

    @Flag(help: "Replace an existing data set, and interrupted work that does not fit.")
    var overwrite = false

    func validate() throws {
      if case .unknown(let word) = skipBad {
        throw ValidationError("--skip-bad: `\(word)` is neither `lines` nor `replace`")
      }
      guard !input.isEmpty || list != nil else {
        throw ValidationError("give files, directories or - as arguments, or --list FILE")
      }
      guard (1...1024).contains(threads ?? 1) else {
        throw ValidationError("--threads must be between 1 and 1024")
      }
      guard longestDocument?.count ?? 1 <= 2_000_000_000 else {
        throw ValidationError("--longest-document must be at most 2GB")
      }
    }

    func run() throws {
      let inputs = try TextInput.resolve(input + listed(), format: format)
      let work = try work()
      if !overwrite, let path = try work.existingOutput() {
        throw CommandError.usage("\(path) exists: replace it with --overwrite")
      }
      let made = try work.run(
        inputs, progress: ProgressLine(inputs, hasTerminal: isatty(STDERR_FILENO) == 1).show)
      report(made)
    }

    private func listed() throws -> [String] {
      guard let list else { return [] }
      let text = String(decoding: try InputFile.contents(of: list), as: UTF8.self)
      return text.split(whereSeparator: \.isNewline).map(String.init)
    }

    private func work() throws(TokenDataError) -> TextTokenizer {
      var work = TextTokenizer(tokenizer: try loadTokenizer(tokenizer), outputPrefix: output)
      work.reading.field = field
      switch skipBad {
      case nil, .unknown: work.reading.badInput = .refuse
      case .lines: work.reading.badInput = .skip
      case .replace: work.reading.badInput = .replace
      }
      (work.ends.beginning, work.ends.end) = (bos, eos)
      if let longestDocument { work.longestDocument = longestDocument.count }
      work.threads = threads ?? AllowedProcessors.current().count
      work.dropsOldWork = overwrite
      return work
    }

    private func report(_ made: TextTokenizer.Result) {
      let counts = made.manifest.counts
      for document in made.skipped { warn("left out \(document.description)") }
      if counts.skipped > 0 {
        warn("left out \(counts.skipped) documents in all: \(output).skipped.jsonl names them")
      }
      for path in made.empty.prefix(10) { warn("\(path) gave no document") }
      if made.inputsTakenUp > 0 {
        print("took up interrupted work: \(made.inputsTakenUp) inputs were done already")
      }
      print(
        "wrote \(output): \(counts.documents) documents, \(counts.tokens) tokens from"
          + " \(counts.textBytes) bytes of text")
    }
  }
}

extension TextInput.Format: ExpressibleByArgument {}
extension DocumentEnds.Beginning: ExpressibleByArgument {}
extension DocumentEnds.End: ExpressibleByArgument {}
