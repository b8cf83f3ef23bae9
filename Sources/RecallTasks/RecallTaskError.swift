import Fields
import Files

/// What can be wrong with a request for a recall task.
public enum RecallTaskError: FieldErrorConvertible, FileErrorConvertible, Equatable {
  /// There is no such task or option, or the option's value cannot be used.
  case field(FieldError)
  /// The option's value does not go with the others or with the length of the sequence.
  case invalidOption(task: String, option: String, reason: String)
  /// The task works on text and no tokenizer was given.
  case tokenizerNeeded(task: String)
  /// The shortest prompt is longer than the sequence.
  case doesNotFit(task: String, needed: Int, sequenceLength: Int)
  /// A file that an option names cannot be read or used.
  case file(FileError)
  /// The task cannot be scored by generating text.
  case notAGenerationTask(task: String)

  /// One line: what, where, and what to do.
  public var description: String {
    switch self {
    case .field(let error): error.description
    case .invalidOption(let task, let option, let reason):
      "task \(task): option '\(option)' \(reason)"
    case .tokenizerNeeded(let task):
      "task \(task) works on text: give a tokenizer"
    case .doesNotFit(let task, let needed, let sequenceLength):
      "task \(task): the shortest row has \(needed) tokens, more than the "
        + "\(sequenceLength) of the sequence; use a longer sequence"
    case .file(let error): error.description
    case .notAGenerationTask(let task):
      "task \(task) is scored on tokens, not on generated text"
    }
  }

  /// The exit code of a command that fails with this error: bad usage or recipe, or that of a file's error.
  public var exitCode: Int32 {
    if case .file(let error) = self { error.exitCode } else { 64 }
  }
}
