import ArgumentParser
import CommandSupport
import RecallTasks
import TokenData

extension DataCommand {
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

    @Option(help: "Tasks on text: `byte`, a directory with a tokenizer.json, or such a file.")
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
