import ArgumentParser
import CommandSupport
import RecallTasks
import TokenData

extension DataCommand {
  /// `statex data make`: a generated task's samples as a token file.
  struct Make: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "make", abstract: "Write samples of a generated task as token files.",
      discussion: """
        PREFIX.bin and PREFIX.idx are a Megatron data set: each sample's --sequence-length input tokens \
        are one document. PREFIX.labels has the targets that count. As a source of a recipe they are the \
        same samples as the task's; other programs see the tokens only.
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

    @Option(help: "PREFIX of PREFIX.bin, PREFIX.idx and PREFIX.labels.")
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
      let writer = try LabelledRowsWriter(
        prefix: output, rowCount: samples, rowLength: sequenceLength,
        vocabularySize: source.requiredVocabulary)
      let sample = SampleBatch(sampleCount: 1, sequenceLength: sequenceLength)
      for index in 0..<samples {
        try source.write(sample: UInt64(index), into: sample[0])
        try writer.append(sample[0])
      }
      let tokens = try writer.finish()
      print("wrote \(output): \(samples) documents, \(tokens) tokens, with labels")
    }
  }
}
