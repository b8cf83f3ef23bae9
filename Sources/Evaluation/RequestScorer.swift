import Kernels
import LanguageModels
import Layers
import TensorStorage
import TokenData

/// Answers scoring requests about one model.
///
/// Requests are answered many at a time: they are sorted, continue from the state after a common
/// prefix, and run side by side with others of similar length. Apart from rounding, an answer does
/// not depend on the other requests. Memory depends on the segment and the state, not on lengths.
public final class RequestScorer {
  /// What a request is answered with.
  public enum Answer: Sendable, Equatable {
    /// Nats; whether the continuation is the greedy one, if that was asked.
    case likelihood(Double, isGreedy: Bool?)
    /// Generated ids, without the one that ended them; the text up to the first stop, given a
    /// tokenizer.
    case generation([Int32], text: String?)
  }

  let prefixes: SharedPrefixes
  let tokenizer: (any Tokenizer)?

  /// The model's token ids are below this number.
  public var vocabulary: Int { prefixes.evaluated.model.vocabulary }

  /// What was asked so far, and what it took to answer.
  public var work: ScoringWork {
    ScoringWork(
      requests: answeredRequests, tokens: requestedTokens, computedTokens: prefixes.computedTokens)
  }

  /// Whether somebody asked to end: the answers mean nothing.
  var isGivenUp: Bool { prefixes.isGivenUp }

  private var answeredRequests = 0
  private var requestedTokens = 0

  /// Answers about `model`; texts need its tokenizer.
  public init(_ model: EvaluatedModel, tokenizer: (any Tokenizer)?) {
    prefixes = SharedPrefixes(model)
    self.tokenizer = tokenizer
  }

  /// Answers requests.
  ///
  /// - Returns: one answer each, in their order; a request that cannot be answered has its problem.
  public func answers(to requests: [ScoringRequest]) -> [Result<Answer, RequestError>] {
    var answers = [Result<Answer, RequestError>?](repeating: nil, count: requests.count)
    var scored: [ScoredSequence] = []
    var generated: [GeneratedSequence] = []
    for (index, request) in requests.enumerated() {
      switch request.kind {
      case .likelihood(let continuation, let isGreedy):
        scored.append(
          ScoredSequence(
            index: index, context: request.context, continuation: continuation,
            asksGreedy: isGreedy))
      case .generation(let until, let stopTokens, let maximum):
        guard until.isEmpty || tokenizer != nil else {
          answers[index] = .failure(
            RequestError(
              id: request.id, problem: "until: the model has no tokenizer to find texts with"))
          continue
        }
        generated.append(
          GeneratedSequence(
            index: index, context: request.context, until: until, stopTokens: Set(stopTokens),
            maximumNewTokens: maximum))
      }
    }
    score(&scored)
    generate(&generated)
    answeredRequests += requests.count
    requestedTokens += scored.reduce(0) { $0 + $1.tokens.count - 1 }
    requestedTokens += generated.reduce(0) { $0 + $1.context.count - 1 + $1.steps }
    let problem = EvaluationError.notFinite(what: "the model").description
    let found = scored.map { ($0.index, $0.answer) } + generated.map { ($0.index, $0.answer) }
    for (index, answer) in found {
      let failure = RequestError(id: requests[index].id, problem: problem)
      answers[index] = answer.map { .success($0) } ?? .failure(failure)
    }
    return answers.compactMap { $0 }
  }

  // MARK: Likelihoods

  private func score(_ sequences: inout [ScoredSequence]) {
    let starts = sequences.map { Array($0.tokens.prefix($0.scored - 1)) }
    prefixes.forEachStart(of: starts) { group, start in
      let byLength = group.sorted {
        let (a, b) = (sequences[$0].tokens.count, sequences[$1].tokens.count)
        return a == b ? $0 < $1 : a > b
      }
      var rest = byLength[...]
      while let longest = rest.first {
        let length = sequences[longest].tokens.count - 1 - start.count
        let batch = rest.prefix(prefixes.batch(length: length))
        rest = rest.dropFirst(batch.count)
        scoreBatch(Array(batch), length: length, start, &sequences)
      }
    }
  }

  /// Scores sequences side by side, the shorter ones padded at their ends.
  private func scoreBatch(
    _ batch: [Int], length: Int, _ start: SharedPrefixes.Start, _ sequences: inout [ScoredSequence]
  ) {
    let state = prefixes.newState(batch: batch.count)
    for place in batch.indices {
      prefixes.place(start.state, at: place, of: batch.count, in: state)
    }
    let step = max(1, prefixes.evaluated.segmentLength / batch.count)
    for first in stride(from: 0, to: length, by: step) {
      let range = (start.count + first)..<(start.count + min(first + step, length))
      let rows = batch.map { sequences[$0].rows(range) }
      let inputs = rows.flatMap { $0.map(\.input) }
      let wantsOutput = rows.contains { $0.contains { $0.weight != 0 } }
      prefixes.forward(inputs, batch: batch.count, state: state, wantsOutput: wantsOutput) {
        activations, dims in
        guard wantsOutput else { return }
        let asksGreedy = batch.contains { sequences[$0].asksGreedy }
        let outcomes = outcomes(rows.flatMap { $0 }, asksGreedy: asksGreedy, activations, dims)
        for (place, sequence) in batch.enumerated() {
          for column in 0..<dims.length where rows[place][column].weight != 0 {
            sequences[sequence].add(
              outcomes[place * dims.length + column], target: rows[place][column].target)
          }
        }
      }
    }
  }

  /// Nats and, if asked for, the most likely token of each row; 0 and -1 where the weight is 0.
  private func outcomes(
    _ rows: [ScoredSequence.Row], asksGreedy: Bool, _ activations: SegmentActivations,
    _ dims: SegmentDims
  ) -> [(nll: Float, best: Int32)] {
    let (targets, weights) = (rows.map(\.target), rows.map(\.weight))
    let (model, parameters) = (prefixes.evaluated.model, prefixes.evaluated.parameters.pointer)
    var best = [Int32](repeating: -1, count: rows.count)
    targets.withUnsafeBufferPointer { targets in
      weights.withUnsafeBufferPointer { weights in
        best.withUnsafeMutableBufferPointer { best in
          guard let targets = targets.baseAddress, let weights = weights.baseAddress,
            let best = best.baseAddress
          else { return }
          if asksGreedy {
            model.predictions(
              counting: weights, parameters: parameters, into: best, activations, dims: dims)
          }
          _ = model.loss(
            CrossEntropyTargets(targets: targets, weights: weights, scale: 1),
            parameters: parameters, gradients: nil, activations, dims: dims)
        }
      }
    }
    return rows.indices.map { (activations.tokenNLL[$0], best[$0]) }
  }
}

/// A sequence of which the last tokens are scored.
struct ScoredSequence {
  /// What the model reads at one position and what should follow.
  struct Row {
    let input: Int32
    let target: Int32
    /// 1 where the target is scored.
    let weight: Float
  }

  let index: Int
  let tokens: [Int32]
  /// The first scored token.
  let scored: Int
  let asksGreedy: Bool
  private var sum = 0.0
  private var isGreedy = true

  init(index: Int, context: [Int32], continuation: [Int32], asksGreedy: Bool) {
    self.index = index
    tokens = context + continuation
    scored = context.count
    self.asksGreedy = asksGreedy
  }

  /// Positions `range`, padded behind the sequence's end.
  func rows(_ range: Range<Int>) -> [Row] {
    range.map { position in
      guard position + 1 < tokens.count else { return Row(input: 0, target: 0, weight: 0) }
      return Row(
        input: tokens[position], target: tokens[position + 1],
        weight: position + 1 >= scored ? 1 : 0)
    }
  }

  mutating func add(_ outcome: (nll: Float, best: Int32), target: Int32) {
    sum += Double(outcome.nll)
    isGreedy = isGreedy && outcome.best == target
  }

  /// Nil when the model gave no numbers.
  var answer: RequestScorer.Answer? {
    sum.isFinite ? .likelihood(-sum, isGreedy: asksGreedy ? isGreedy : nil) : nil
  }
}
