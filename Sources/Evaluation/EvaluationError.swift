import ErrorReporting

/// What can be wrong with a request to measure a model.
public enum EvaluationError: UserFacingError, Equatable, Sendable {
  /// A task uses more ids than the model has.
  case vocabulary(task: String, needed: Int, model: Int)
  /// A prompt holds an id that the model does not have.
  case token(id: Int32, vocabulary: Int)
  /// A prompt without tokens: there is nothing to predict from.
  case emptyPrompt
  /// Two tasks would be reported under one name.
  case duplicateName(String)
  /// The model's outputs are not numbers.
  case notFinite(what: String)
  /// A log of samples that cannot be gone on with.
  case sampleLog(path: String, String)
  /// A task's file that cannot be used: file, line and field, and what is wrong.
  case taskFile(String)
  /// A saved context that cannot be gone on from.
  case contextState(path: String, String)
  /// The measurement was given up because somebody asked for that (`EvaluatedModel.isInterrupted`).
  case interrupted

  /// The exit code of a command that ends with this error: 65 for a model that gives no numbers or another's log, 75 for
  /// one that was interrupted, 64 for what was asked of it.
  public var exitCode: Int32 {
    switch self {
    case .notFinite, .sampleLog, .taskFile, .contextState: 65
    case .interrupted: 75
    default: 64
    }
  }

  /// One line: what, where, what to do.
  public var description: String {
    switch self {
    case .vocabulary(let task, let needed, let model):
      "task \(task) uses ids up to \(needed - 1), the model's vocabulary has \(model):"
        + " give the task a smaller 'vocab'"
    case .token(let id, let vocabulary):
      "token id \(id) is outside the model's vocabulary of \(vocabulary):"
        + " is the tokenizer the model's own?"
    case .emptyPrompt: "the prompt is empty: give it at least one token"
    case .duplicateName(let name):
      "two tasks would be reported as '\(name)': give one of them another name with as=NAME"
    case .sampleLog(let path, let problem):
      "\(path): \(problem): remove it, or give another file"
    case .taskFile(let problem): problem
    case .contextState(let path, let problem):
      "\(path): \(problem): save it again with --save-state"
    case .interrupted: "the measurement was interrupted"
    case .notFinite(let what):
      "\(what) is not a number: the model's weights are damaged or have diverged"
    }
  }
}
