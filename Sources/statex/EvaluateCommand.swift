import ArgumentParser
import CommandSupport
import Evaluation
import Files
import Foundation
import JSON
import RecallTasks
import TokenData

/// `statex evaluate`: loss on stored text and scores on recall tasks.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Measure a model's loss and recall.",
    discussion: """
      Tasks: \(RecallTaskConfiguration.names.joined(separator: ", ")). Each takes its own options and \
      sequence_length, samples and as, for example --task mqar:pairs=[8,16],vocab=256. Under mpirun or \
      srun --mpi=pmix, ranks divide the samples; the report does not depend on their number.
      """)

  @Option(help: "A Hugging Face model directory, a run (its newest checkpoint), or a checkpoint.")
  var model: String

  @Option(
    help:
      "Tokens to measure the loss on: PREFIX of .bin and .idx, .bin or .npy file, pattern (repeatable)."
  )
  var perplexity: [String] = []

  @Option(help: "In token files without an index, the id after which a document ends.")
  var endOfText: Int32?

  @Option(
    help:
      "Measure the loss on the documents that `split: {held_out: FRACTION}` keeps from training.")
  var heldOut: Double?

  @Option(help: "Measure the loss on the first N sequences only.")
  var sequences: Int?

  @Flag(help: "Also report the loss of each token of the first sequence.")
  var perToken = false

  @Flag(
    help: "Also report bits a byte of the text, which takes the tokenizer that made its tokens.")
  var bitsPerByte = false

  @OptionGroup var recall: TaskOptions

  @Option(
    help:
      "A directory with task.json, see docs/tasks.md: DIR or DIR:samples=N,as=NAME (repeatable).")
  var taskFile: [TaskFileArgument] = []

  @Option(help: "Write the report to this file, as JSON.")
  var json: String?

  @Option(help: "Write every sample to this file; an interrupted measurement goes on from it.")
  var sampleLog: String?

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    guard !perplexity.isEmpty || !recall.task.isEmpty || !taskFile.isEmpty else {
      throw ValidationError(
        "nothing to measure: give --perplexity PREFIX, --task NAME or --task-file DIR")
    }
    try requireCount(sequences ?? 1, "--sequences")
    for (option, isGiven) in [
      ("--per-token", perToken), ("--bits-per-byte", bitsPerByte),
      ("--end-of-text", endOfText != nil), ("--held-out", heldOut != nil),
    ] where isGiven && perplexity.isEmpty {
      throw ValidationError("\(option) needs --perplexity")
    }
    guard endOfText ?? 0 >= 0 else {
      throw ValidationError("--end-of-text must not be negative")
    }
    if let heldOut, !(heldOut > 0 && heldOut < 1) {
      throw ValidationError("--held-out must be above 0 and below 1")
    }
  }

  func run() throws {
    try withRanks(threads: compute.threads) { ranks in
      var (plan, evaluated) = try ranks.together { try prepare() }
      evaluated.ranks = ranks
      if ranks.leads { warn(plan.warnings) }
      if let sampleLog {
        let header = try ranks.together {
          try plan.header(evaluated.fingerprint, seed: recall.seed)
        }
        let log = try SampleLog(path: sampleLog, header: header, ranks: ranks)
        if log.resumedCount > 0 && ranks.leads {
          warn("\(sampleLog): \(log.resumedCount) samples are there already")
        }
        evaluated.log = log
      }
      let report = try plan.report(evaluated, seed: recall.seed)
      guard ranks.leads else { return }
      if let json { try FileReplacement.write(report.json.encoded() + [0x0A], to: json) }
      print(EvaluationTable(report).text)
    }
  }

  /// Reads everything and checks what can be checked before anything is measured.
  private func prepare() throws -> (EvaluationPlan, EvaluatedModel) {
    var plan = EvaluationPlan()
    plan.tasks = try recall.tasks()
    plan.fileTasks = try taskFile.map { try $0.plan.open() }
    try EvaluationTask.requireDistinctNames(
      plan.tasks.map(\.name) + plan.fileTasks.map(\.name)
        + (perplexity.isEmpty ? [] : ["perplexity"]))
    for path in [json, sampleLog] { try path.map { try FileSystem.requireCreatable($0) } }
    let source = try ModelSource(model)
    if bitsPerByte || plan.needsTokenizer {
      plan.tokenizer = try source.tokenizer(recall.tokenizer)
    }
    let evaluated = try source.load(segmentLength: compute.segmentLength)
    for task in plan.tasks {
      try task.check(
        vocabulary: evaluated.model.vocabulary, seed: recall.seed, tokenizer: plan.tokenizer)
    }
    for task in plan.fileTasks {
      try task.check(vocabulary: evaluated.model.vocabulary, tokenizer: plan.tokenizer)
    }
    if !perplexity.isEmpty { try prepareText(&plan, source) }
    return (plan, evaluated)
  }

  private func prepareText(_ plan: inout EvaluationPlan, _ source: ModelSource) throws {
    let part = heldOut.map { TokenSelection.Part.heldOut($0) } ?? .all
    let selection = TokenSelection(perplexity, endOfText: endOfText, part: part)
    let files = try selection.open()
    plan.text = EvaluationPlan.Text(
      selection: selection, fingerprint: selection.fingerprint(of: files),
      sequenceLength: recall.sequenceLength, limit: sequences, perToken: perToken,
      countsBytes: bitsPerByte)
    plan.warnings = try TokenManifest.mismatches(
      of: files.compactMap { file in file.manifest.map { (file.prefix, $0.vocabulary) } },
      model: source.companionDirectory)
  }
}

/// What a command measures.
struct EvaluationPlan {
  /// Stored text to measure the loss on.
  struct Text {
    let selection: TokenSelection
    /// Of the tokens.
    let fingerprint: String
    let sequenceLength: Int
    let limit: Int?
    let perToken: Bool
    let countsBytes: Bool
  }

  var text: Text?
  var tasks: [EvaluationTask] = []
  var fileTasks: [FileTask] = []
  var tokenizer: (any Tokenizer)?
  /// What the user should know, a line each.
  var warnings: [String] = []

  /// Whether a task works on text.
  var needsTokenizer: Bool {
    tasks.contains(where: \.configuration.needsTokenizer)
      || fileTasks.contains(where: \.needsTokenizer)
  }

  /// Measures; collective.
  func report(_ evaluated: EvaluatedModel, seed: UInt64) throws -> EvaluationReport {
    var report = EvaluationReport()
    if let text {
      let perplexity = try evaluated.ranks.together {
        try Perplexity(
          text.selection, sequenceLength: text.sequenceLength, limit: text.limit,
          of: evaluated, tokenizer: text.countsBytes ? tokenizer : nil)
      }
      report.perplexity = try perplexity.measure(perToken: text.perToken)
    }
    for task in tasks {
      report.tasks.append(try task.measure(evaluated, seed: seed, tokenizer: tokenizer))
    }
    for task in fileTasks {
      report.fileTasks.append(try task.measure(evaluated, tokenizer: tokenizer))
    }
    return report
  }

  /// What identifies the measurement in a log of samples.
  func header(_ fingerprint: String, seed: UInt64) throws -> [JSONMember] {
    var members = [
      JSONMember("model", .string(fingerprint)), JSONMember("seed", .integer(seed)),
      JSONMember("tokenizer", tokenizer.map { .string($0.identity) } ?? .null),
    ]
    if let text {
      members.append(
        JSONMember(
          "perplexity",
          .object([
            JSONMember("text", .string(text.fingerprint)),
            JSONMember("sequence_length", .integer(text.sequenceLength)),
            JSONMember("sequences", text.limit.map { .integer($0) } ?? .null),
            JSONMember("per_token", .bool(text.perToken)),
            JSONMember("bits_per_byte", .bool(text.countsBytes)),
          ])))
    }
    members.append(JSONMember("tasks", .array(try tasks.map { try $0.identity() })))
    let files = fileTasks.map { JSONMember($0.name, .string($0.identity)) }
    members.append(JSONMember("task_files", .object(files)))
    return members
  }
}
