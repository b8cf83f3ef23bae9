import ArgumentParser
import CommandSupport
import Evaluation
import Files
import Foundation
import JSON
import TokenData

/// `statex probe`: what each layer's state holds and is worth.
struct ProbeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe",
    abstract: "Tell layer by layer what the state holds, and what forgetting it costs.",
    discussion: """
      Of each head's state at the end of a sample: the effective rank, and its share of the energy in the \
      layer's state. Of each layer: what is lost when its state is set to zeros every --window tokens, and when \
      each head's state is then held to half its rank. The layers that lose most with half the rank are \
      recommended for `expansion.layers`. Tasks are those of \
      `statex evaluate`; their answers are given, and each token of them is scored.
      """)

  @Argument(
    help: "A Hugging Face model directory, a run (its newest checkpoint), or a checkpoint.")
  var model: String

  @OptionGroup var recall: TaskOptions

  @Option(help: "Text to measure the loss on, too: PREFIX of PREFIX.bin and PREFIX.idx.")
  var perplexity: String?

  @Option(help: "Sequences of the text that are measured.")
  var sequences = 100

  @Option(
    help:
      "Tokens after which a layer forgets, or keeps half its rank; each number of a list is measured."
  )
  var window = IntegerList(values: [16])

  @Option(help: "Layers to recommend (default: a sixth of all).")
  var choose: Int?

  @Option(help: "Write the report to this file, as JSON.")
  var json: String?

  @OptionGroup var compute: ComputeOptions

  func validate() throws {
    guard perplexity != nil || !recall.task.isEmpty else {
      throw ValidationError("nothing to measure: give --task NAME or --perplexity PREFIX")
    }
    try requireCount(sequences, "--sequences")
    try requireCount(choose ?? 1, "--choose")
    for tokens in window.values { try requireCount(tokens, "--window") }
    guard Set(window.values).count == window.values.count else {
      throw ValidationError("--window names a number twice")
    }
  }

  func run() throws {
    try withRanks(threads: compute.threads) { ranks in
      var (subjects, evaluated) = try ranks.together { try prepare() }
      evaluated.ranks = ranks
      let report = try MemoryProbe(evaluated, windows: window.values).measure(subjects)
      guard ranks.leads else { return }
      let chosen = choose ?? max(1, report.layers.count / 6)
      if let json {
        let value = report.json(choosing: chosen)
        try FileReplacement.write(value.encoded() + [0x0A], to: json)
      }
      print(ProbeTable(report).text)
      let layers = report.recommended(chosen).map(String.init).joined(separator: ", ")
      print("\nrecommended: expansion.layers: [\(layers)]")
    }
  }

  /// Reads everything and checks what can be checked before anything is measured.
  private func prepare() throws -> ([MemoryProbe.Subject], EvaluatedModel) {
    let tasks = try recall.tasks()
    try json.map { try FileSystem.requireCreatable($0) }
    let source = try ModelSource(model)
    let needsTokenizer = tasks.contains(where: \.configuration.needsTokenizer)
    let words = needsTokenizer ? try source.tokenizer(recall.tokenizer) : nil
    let evaluated = try source.load(segmentLength: compute.segmentLength)
    let vocabulary = evaluated.model.vocabulary
    if let choose, choose > evaluated.model.blocks.count {
      throw CommandError.usage(
        "--choose \(choose): the model has \(evaluated.model.blocks.count) layers")
    }
    var subjects = try tasks.flatMap {
      try $0.subjects(vocabulary: vocabulary, seed: recall.seed, tokenizer: words)
    }
    if let perplexity {
      let (text, count) = try Perplexity.open(
        TokenSelection([perplexity]), sequenceLength: recall.sequenceLength, limit: sequences,
        vocabulary: vocabulary)
      subjects.append(
        MemoryProbe.Subject(name: "text", isRecall: false, source: text, samples: count))
    }
    try EvaluationTask.requireDistinctNames(subjects.map(\.name))
    for tokens in window.values {
      for subject in subjects where tokens >= subject.source.sequenceLength {
        throw CommandError.usage(
          "--window \(tokens): nothing is forgotten within the \(subject.source.sequenceLength)"
            + " tokens of \(subject.name)")
      }
    }
    return (subjects, evaluated)
  }
}
