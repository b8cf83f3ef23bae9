import Foundation
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

  /// Allocates for prompts of any length.
  ///
  /// - Parameters:
  ///   - model: what generates.
  ///   - usableVocabulary: ids from here on are padding and never chosen; nil for none.
  public init(_ model: EvaluatedModel, usableVocabulary: Int? = nil) {
    evaluated = model
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
  /// - Throws: `EvaluationError` when it is empty or holds an id that the model does not have.
  public func start(_ prompt: [Int32]) throws(EvaluationError) {
    guard !prompt.isEmpty else { throw .emptyPrompt }
    zero(state.pointer, count: state.count)
    var first = 0
    while first < prompt.count {
      let end = min(first + segmentLength, prompt.count)
      try process(prompt[first..<end], wantsLogits: end == prompt.count)
      first = end
    }
  }

  /// Processes one more token.
  ///
  /// - Throws: `EvaluationError` when the model does not have it.
  public func append(_ token: Int32) throws(EvaluationError) {
    try process([token][...], wantsLogits: true)
  }

  private func process(
    _ part: ArraySlice<Int32>, wantsLogits: Bool
  ) throws(EvaluationError) {
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

/// How the next token is chosen from its logits.
public enum TokenChoice: Sendable, Equatable {
  /// The most likely token; of equal ones the first.
  case greedy
  /// Drawn from `softmax(logits / temperature)`; the draws depend on the seed and the token's number
  /// only.
  case sampled(temperature: Double, seed: UInt64)

  /// The id chosen as generated token `index`, or nil when the logits are not numbers.
  func token(_ logits: UnsafeBufferPointer<Float>, index: Int) -> Int32? {
    guard let base = logits.baseAddress, let best = argmax(base, count: logits.count) else {
      return nil
    }
    guard case .sampled(let temperature, let seed) = self else { return Int32(best) }
    let largest = Double(logits[best])
    let weights = logits.map { exp((Double($0) - largest) / temperature) }
    var random = CounterRandom(seed: seed, purpose: "generate", index: UInt64(index))
    var rest = random.uniform() * weights.reduce(0, +)
    for (id, weight) in weights.enumerated() {
      rest -= weight
      if rest < 0 { return Int32(id) }
    }
    return Int32(best)
  }
}

extension Generator {
  /// Continues a prompt.
  ///
  /// - Parameters:
  ///   - prompt: at least one token.
  ///   - maximumNewTokens: how many tokens to generate at most.
  ///   - choice: how each is chosen.
  ///   - stopTokens: ids that end the text; they are not part of the result.
  ///   - isComplete: called with everything generated so far after each token; true ends the text.
  /// - Returns: the generated ids.
  /// - Throws: `EvaluationError` for an unusable prompt, or a model that gives no numbers.
  public func continuation(
    of prompt: [Int32], maximumNewTokens: Int, choice: TokenChoice = .greedy,
    stopTokens: Set<Int32> = [], isComplete: ([Int32]) -> Bool = { _ in false }
  ) throws(EvaluationError) -> [Int32] {
    try start(prompt)
    var generated: [Int32] = []
    while generated.count < maximumNewTokens {
      guard let token = choice.token(nextLogits, index: generated.count) else {
        throw .notFinite(what: "the most likely next token")
      }
      if stopTokens.contains(token) { break }
      generated.append(token)
      if generated.count == maximumNewTokens || isComplete(generated) { break }
      try append(token)
    }
    return generated
  }
}
