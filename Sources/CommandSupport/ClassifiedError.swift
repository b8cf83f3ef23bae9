import Checkpointing
import Collectives
import Compression
import Evaluation
import HuggingFaceInterop
import RecallTasks
import StateExpansion
import TensorFiles
import TokenData
import Training
import TrainingMetrics

/// An error that knows the exit code of its class and says on one line what is wrong.
///
/// A room's error enum becomes one by a conformance here; the commands need no further list.
public protocol ClassifiedError: Error, CustomStringConvertible {
  /// 64 bad usage or recipe, 65 bad input data, 70 internal, 74 input or output failed.
  var exitCode: Int32 { get }
}

extension CheckpointError: ClassifiedError {}
extension CompressionError: ClassifiedError {}
extension EvaluationError: ClassifiedError {}
extension ExpansionError: ClassifiedError {}
extension InteropError: ClassifiedError {}
extension MetricsError: ClassifiedError {}
extension RecallTaskError: ClassifiedError {}
extension RecipeError: ClassifiedError {}
extension TensorFileError: ClassifiedError {}
extension TokenDataError: ClassifiedError {}

extension CollectiveError: ClassifiedError {
  /// Internal: nothing that a user wrote makes MPI fail.
  public var exitCode: Int32 { 70 }
}

/// What is wrong with a command's own arguments, files or surroundings.
public enum CommandError: ClassifiedError, Equatable {
  /// Options that do not go together, or a value that cannot be used.
  case usage(String)
  /// A file that is not what the command works on.
  case data(String)
  /// The operating system refused.
  case inputOutput(String)

  /// 64, 65 or 74.
  public var exitCode: Int32 {
    switch self {
    case .usage: 64
    case .data: 65
    case .inputOutput: 74
    }
  }

  /// The error on one line.
  public var description: String {
    switch self {
    case .usage(let text), .data(let text), .inputOutput(let text): text
    }
  }
}

extension AgreedError: ClassifiedError {}
extension TrainingError: ClassifiedError {}
