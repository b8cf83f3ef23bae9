import ErrorReporting
import Fields

/// What can stop a training run, beside the errors of the rooms it uses.
public enum TrainingError: UserFacingError, Sendable, Equatable {
  /// The recipe asks for something that this program or this machine does not have; exit class 64.
  case unsupported(String)
  /// The way the program was started does not fit; exit class 64.
  case launch(String)
  /// The run directory holds something that must not be overwritten; exit class 64.
  case runExists(String)
  /// The data, the model or the recipe differ from those of the checkpoint; exit class 64.
  case changed(field: String, was: String, now: String)
  /// The recipe asks for fewer steps than the checkpoint has; exit class 64.
  case alreadyTrained(steps: Int, checkpoint: Int)
  /// A checkpoint's training record cannot be understood; exit class 65.
  case record(FieldError)
  /// The loss or the gradient is no longer a number; exit class 70.
  case notFinite(step: Int, what: String)
  /// A loss or gradient that cannot be right, after which the recipe lets no run go on; exit class 70.
  case spike(step: Int, what: String)
  /// Ranks hold different values of what is equal by construction; exit class 70.
  case diverged(step: Int, what: String)

  /// The process exit code of this class of error.
  public var exitCode: Int32 {
    switch self {
    case .unsupported, .launch, .runExists, .changed, .alreadyTrained: 64
    case .record: 65
    case .notFinite, .spike, .diverged: 70
    }
  }

  /// One line: what, where, what to do.
  public var description: String {
    switch self {
    case .unsupported(let what), .launch(let what), .runExists(let what): what
    case .changed(let field, let was, let now):
      "\(field): the checkpoint was made with \(was), the recipe now says \(now); restore it, or "
        + "choose another run.output"
    case .alreadyTrained(let steps, let checkpoint):
      "train.steps: \(steps), but the checkpoint is already at step \(checkpoint): raise "
        + "train.steps, or choose another run.output"
    case .record(let error): error.description
    case .notFinite(let step, let what):
      "step \(step): \(what); the last checkpoint is untouched: lower train.optimizer.lr, or run "
        + "with --debug to find the layer"
    case .spike(let step, let what):
      "step \(step): \(what); its update was not made: look at the batch in spikes.jsonl, lower "
        + "train.optimizer.lr, or change train.on_spike"
    case .diverged(let step, let what):
      "step \(step): \(what): memory or a processor is faulty, and nothing is saved; test the "
        + "machine or leave it out, and start again to go on from the last checkpoint"
    }
  }
}

/// An error that all ranks know of: what the first rank that had it said.
public struct AgreedError: UserFacingError {
  /// Its process exit code.
  public let exitCode: Int32
  /// Its one line.
  public let description: String
}
