import ErrorReporting
import Kernels
import LanguageModels
import Layers
import TensorStorage

/// Continues a prompt token by token, in memory that does not grow with the prompt.
///
/// The prompt runs through the model in segments that hand on the recurrent state; each token after
/// it is a segment of one token. Both give what the whole sequence would give at once, to rounding.
public final class Generator {
  /// Ids that may be generated are below this number.
  public let usableVocabulary: Int

  private let evaluated: EvaluatedModel
  private let activations: SegmentActivations
  private let state: FloatBuffer
  private let logits: FloatBuffer
  private let tokens: UnsafeMutablePointer<Int32>
  private let segmentLength: Int
  private let weights: BFloat16Weights?

  /// Allocates for prompts of any length.
  ///
  /// - Parameters:
  ///   - model: what generates.
  ///   - usableVocabulary: ids from here on are padding and never chosen; nil for none.
  ///   - weights: what single tokens are computed with, instead of the model's own; prompts are not.
  public init(
    _ model: EvaluatedModel, usableVocabulary: Int? = nil, weights: BFloat16Weights? = nil
  ) {
    evaluated = model
    self.weights = weights
    segmentLength = model.segmentLength
    self.usableVocabulary = min(usableVocabulary ?? Int.max, model.model.vocabulary)
    activations = SegmentActivations(
      model.model, dims: SegmentDims(batch: 1, length: segmentLength), trains: false)
    state = FloatBuffer(count: model.model.stateCount(batch: 1))
    logits = FloatBuffer(count: model.model.vocabulary)
    tokens = .allocate(capacity: segmentLength)
  }

  deinit { tokens.deallocate() }

  /// The logits of the token after those processed so far, `[usableVocabulary]`.
  public var nextLogits: UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: logits.pointer, count: usableVocabulary)
  }

  /// Forgets everything and processes a prompt.
  ///
  /// - Parameters:
  ///   - prompt: at least one token, unless it follows on a state.
  ///   - start: what was read before; nil for nothing.
  /// - Throws: `EvaluationError` when there is no token or one that the model does not have.
  public func start(
    _ prompt: [Int32], after start: ContextState? = nil
  ) throws(EvaluationError) {
    let tokens = restore(start) + prompt
    guard !tokens.isEmpty else { throw .emptyPrompt }
    try read(tokens[...], wantsLogits: true)
  }

  /// Forgets everything, reads a prompt, and keeps what it leaves.
  ///
  /// - Parameters: as of `start`.
  /// - Returns: what any number of continuations can start from.
  /// - Throws: as `start`.
  public func context(
    _ prompt: [Int32], after start: ContextState? = nil
  ) throws(EvaluationError) -> ContextState {
    let tokens = restore(start) + prompt
    guard let last = tokens.last else { throw .emptyPrompt }
    guard 0..<evaluated.model.vocabulary ~= Int(last) else {
      throw .token(id: last, vocabulary: evaluated.model.vocabulary)
    }
    try read(tokens.dropLast(), wantsLogits: false)
    let kept = FloatBuffer(count: state.count)
    copy(state.pointer, count: state.count, into: kept.pointer)
    return ContextState(
      tokenCount: (start?.tokenCount ?? 0) + prompt.count, lastToken: last, state: kept)
  }

  /// Goes back to a state, or to none.
  ///
  /// - Returns: the token that comes next, if there is one.
  private func restore(_ start: ContextState?) -> [Int32] {
    guard let start else {
      zero(state.pointer, count: state.count)
      return []
    }
    require(start.state.count == state.count, "the state of another model")
    copy(start.state.pointer, count: state.count, into: state.pointer)
    return [start.lastToken]
  }

  private func read(_ prompt: ArraySlice<Int32>, wantsLogits: Bool) throws(EvaluationError) {
    var rest = prompt
    while !rest.isEmpty {
      let part = rest.prefix(segmentLength)
      rest = rest.dropFirst(part.count)
      try process(part, wantsLogits: wantsLogits && rest.isEmpty)
    }
  }

  /// Processes one more token.
  ///
  /// - Throws: `EvaluationError` when the model does not have it.
  public func append(_ token: Int32) throws(EvaluationError) {
    guard let weights else { return try process([token][...], wantsLogits: true) }
    let outcome = weights.run {
      Result { () throws(EvaluationError) in try process([token][...], wantsLogits: true) }
    }
    try outcome.get()
  }

  private func process(
    _ part: ArraySlice<Int32>, wantsLogits: Bool
  ) throws(EvaluationError) {
    try evaluated.goOn()
    let model = evaluated.model
    for (index, token) in part.enumerated() {
      guard token >= 0, Int(token) < model.vocabulary else {
        throw .token(id: token, vocabulary: model.vocabulary)
      }
      tokens[index] = token
    }
    let parameters = evaluated.parameters.pointer
    let dims = SegmentDims(batch: 1, length: part.count)
    model.forward(
      SegmentTokens(tokens), parameters: parameters, stateInPlace: state.pointer, activations,
      dims: dims)
    guard wantsLogits else { return }
    model.logits(
      row: part.count - 1, parameters: parameters, into: logits.pointer, activations, dims: dims)
  }
}

extension Generator {
  /// Continues a prompt.
  ///
  /// - Parameters:
  ///   - prompt: at least one token, unless it follows on a state.
  ///   - start: what was read before; nil for nothing.
  ///   - maximumNewTokens: how many tokens to generate at most.
  ///   - choice: how each is chosen.
  ///   - stopTokens: ids that end the text; they are not part of the result.
  ///   - isComplete: called with everything generated so far after each token; true ends the text.
  /// - Returns: the generated ids.
  /// - Throws: `EvaluationError` for an unusable prompt, or a model that gives no numbers.
  public func continuation(
    of prompt: [Int32], after start: ContextState? = nil, maximumNewTokens: Int,
    choice: TokenChoice = .greedy,
    stopTokens: Set<Int32> = [], isComplete: ([Int32]) -> Bool = { _ in false }
  ) throws(EvaluationError) -> [Int32] {
    try self.start(prompt, after: start)
    var generated: [Int32] = []
    while generated.count < maximumNewTokens {
      guard let token = choice.token(nextLogits, index: generated.count) else {
        throw .notFinite(what: "the most likely next token")
      }
      if stopTokens.contains(token) { break }
      generated.append(token)
      if isComplete(generated) || generated.count == maximumNewTokens { break }
      try append(token)
    }
    return generated
  }
}
