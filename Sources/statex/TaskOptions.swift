import ArgumentParser
import Evaluation
import RecallTasks

/// Options of commands that measure recall tasks.
struct TaskOptions: ParsableArguments {
  @Option(help: "A recall task: NAME or NAME:key=value,... (repeatable).")
  var task: [TaskArgument] = []

  @Option(help: "Samples per task and length.")
  var samples = 100

  @Option(help: "Tokens per sample.")
  var sequenceLength = 2048

  @Option(help: "The tokenizer for text tasks: a directory or `byte` (default: the model's).")
  var tokenizer: String?

  @Option(help: "The text of tasks that hide needles in one (default: a generated text).")
  var haystack: String?

  @Option(help: "The random seed of the tasks' samples.")
  var seed: UInt64 = 0

  func validate() throws {
    try requireCount(sequenceLength, "--sequence-length")
    try requireCount(samples, "--samples")
    guard
      haystack == nil
        || task.contains(where: { RecallTaskConfiguration.has(option: "haystack", task: $0.name) })
    else {
      throw ValidationError("--haystack: no --task hides needles in a text")
    }
  }

  /// The tasks, with these options where they say nothing themselves.
  ///
  /// - Throws: `RecallTaskError.field`, naming an option of a task.
  func tasks() throws(RecallTaskError) -> [EvaluationTask] {
    var defaults = EvaluationTask.Defaults(sequenceLength: sequenceLength, samples: samples)
    defaults.haystack = haystack
    var tasks: [EvaluationTask] = []
    for task in task {
      tasks += try EvaluationTask.tasks(
        name: task.name, options: task.options, defaults: defaults)
    }
    return tasks
  }
}
