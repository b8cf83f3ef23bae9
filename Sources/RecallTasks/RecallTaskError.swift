import ErrorReporting

/// What can be wrong with a request for a recall task.
public enum RecallTaskError: UserFacingError, Equatable {
  /// There is no task of that name.
  case unknownTask(name: String, nearest: String?)
  /// The task has no option of that name.
  case unknownOption(task: String, option: String, nearest: String?, known: [String])
  /// The option's value cannot be used.
  case invalidOption(task: String, option: String, reason: String)
  /// The task works on text and no tokenizer was given.
  case tokenizerNeeded(task: String)
  /// The shortest prompt is longer than the sequence.
  case doesNotFit(task: String, needed: Int, sequenceLength: Int)
  /// The task cannot be scored by generating text.
  case notAGenerationTask(task: String)

  /// One line: what, where, and what to do.
  public var description: String {
    switch self {
    case .unknownTask(let name, let nearest):
      "task '\(name)' is not known" + Self.suggestion(nearest)
        + " Known tasks: \(RecallTaskConfiguration.names.joined(separator: ", "))"
    case .unknownOption(let task, let option, let nearest, let known):
      "task \(task): unknown option '\(option)'" + Self.suggestion(nearest)
        + " Known options: \(known.joined(separator: ", "))"
    case .invalidOption(let task, let option, let reason):
      "task \(task): option '\(option)' \(reason)"
    case .tokenizerNeeded(let task):
      "task \(task) works on text: give a tokenizer"
    case .doesNotFit(let task, let needed, let sequenceLength):
      "task \(task): the shortest row has \(needed) tokens, more than the "
        + "\(sequenceLength) of the sequence; use a longer sequence"
    case .notAGenerationTask(let task):
      "task \(task) is scored on tokens, not on generated text"
    }
  }

  private static func suggestion(_ nearest: String?) -> String {
    nearest.map { "; did you mean '\($0)'?" } ?? "."
  }

  /// The exit code of a command that fails with this error: bad usage or recipe.
  public var exitCode: Int32 { 64 }
}
