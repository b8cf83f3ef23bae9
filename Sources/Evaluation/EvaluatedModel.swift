import ErrorReporting
import Kernels
import LanguageModels
import TensorStorage

/// A model, its parameters, and how many tokens it processes at a time.
public struct EvaluatedModel {
  /// The model.
  public let model: LanguageModel
  /// Its parameters, in the model's layout; only read.
  public let parameters: FloatBuffer
  /// Tokens of a segment, all sequences of a batch together; memory does not grow beyond it.
  public let segmentLength: Int

  /// Asked between samples and segments when set; once it says true the measurement is given up.
  public var isInterrupted: (() -> Bool)?

  /// Who measures together.
  public var ranks: any EvaluationRanks = SingleRank()

  /// Where samples are kept that were measured; nil: nowhere.
  public var log: SampleLog?

  /// Default tokens of a segment.
  public static let defaultSegmentLength = 2048

  /// Floats of recurrent state that a batch may hold, 256 MB of them.
  private static let stateBudget = 1 << 26

  /// Names the parts.
  ///
  /// - Precondition: the parameters have the model's layout; `segmentLength >= 1`.
  public init(
    _ model: LanguageModel, parameters: FloatBuffer,
    segmentLength: Int = EvaluatedModel.defaultSegmentLength
  ) {
    require(
      parameters.count == model.layout.count,
      "\(parameters.count) parameters for a model of \(model.layout.count)")
    require(segmentLength >= 1, "segments of \(segmentLength) tokens")
    self.model = model
    self.parameters = parameters
    self.segmentLength = segmentLength
  }

  /// Sequences of `length` tokens that run side by side.
  ///
  /// The number depends only on the model and the lengths, not on the machine, so that results are
  /// reproducible to the last bit.
  static func batch(_ model: LanguageModel, length: Int, segmentLength: Int) -> Int {
    min(segmentLength / min(length, segmentLength), affordableStates(model))
  }

  /// How many states of one sequence may be held at a time: what the budget allows, but at least one.
  static func affordableStates(_ model: LanguageModel) -> Int {
    max(1, stateBudget / max(model.stateCount(batch: 1), 1))
  }

  /// Throws `EvaluationError.interrupted` when somebody asked for that.
  func goOn() throws(EvaluationError) {
    if isInterrupted?() == true { throw .interrupted }
  }
}
