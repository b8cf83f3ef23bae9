import Kernels
import LanguageModels
import Layers
import TensorStorage
import TokenData

extension RequestScorer {
  /// Sequences that generate side by side, at most.
  private static let generationBatch = 16

  /// Generates greedily after each context.
  func generate(_ sequences: inout [GeneratedSequence]) {
    let starts = sequences.map { Array($0.context.dropLast()) }
    let limit = min(Self.generationBatch, prefixes.batch(length: 1))
    prefixes.forEachStart(of: starts) { group, start in
      var rest = group[...]
      while !rest.isEmpty {
        let batch = Array(rest.prefix(limit))
        rest = rest.dropFirst(batch.count)
        generateBatch(batch, start, &sequences)
      }
    }
  }

  private func generateBatch(
    _ batch: [Int], _ start: SharedPrefixes.Start, _ sequences: inout [GeneratedSequence]
  ) {
    let state = prefixes.newState(batch: batch.count)
    for (place, sequence) in batch.enumerated() {
      let own = prefixes.newState(batch: 1)
      copy(start.state.pointer, count: own.count, into: own.pointer)
      prefixes.advance(own, through: sequences[sequence].context.dropLast()[start.count...])
      prefixes.place(own, at: place, of: batch.count, in: state)
    }
    var inputs = batch.map { sequences[$0].context.last ?? 0 }
    while !prefixes.isGivenUp, batch.contains(where: { !sequences[$0].isDone }) {
      prefixes.forward(inputs, batch: batch.count, state: state) { activations, dims in
        inputs = mostLikely(activations, dims)
      }
      for (place, sequence) in batch.enumerated() where !sequences[sequence].isDone {
        sequences[sequence].append(inputs[place], tokenizer)
      }
      // What has ended goes on with any token: it is not looked at.
      inputs = inputs.map { max($0, 0) }
    }
  }

  /// The most likely next token of each sequence; -1 where there are no numbers.
  private func mostLikely(_ activations: SegmentActivations, _ dims: SegmentDims) -> [Int32] {
    let model = prefixes.evaluated.model
    let weights = [Float](repeating: 1, count: dims.rows)
    var best = [Int32](repeating: -1, count: dims.rows)
    weights.withUnsafeBufferPointer { weights in
      best.withUnsafeMutableBufferPointer { best in
        guard let weights = weights.baseAddress, let best = best.baseAddress else { return }
        model.predictions(
          counting: weights, below: tokenizer?.vocabularySize,
          parameters: prefixes.evaluated.parameters.pointer, into: best, activations, dims: dims)
      }
    }
    return best
  }
}

/// A context that greedy decoding continues.
struct GeneratedSequence {
  let index: Int
  let context: [Int32]
  let until: [String]
  let stopTokens: Set<Int32>
  let maximumNewTokens: Int
  private(set) var isDone = false
  /// Tokens that were asked of the model so far, one that ended it included.
  private(set) var steps = 0
  private var generated: [Int32] = []
  private var text: String?
  private var isFinite = true

  init(
    index: Int, context: [Int32], until: [String], stopTokens: Set<Int32>, maximumNewTokens: Int
  ) {
    self.index = index
    self.context = context
    self.until = until
    self.stopTokens = stopTokens
    self.maximumNewTokens = maximumNewTokens
  }

  /// Takes the next token, or ends with it.
  mutating func append(_ token: Int32, _ tokenizer: (any Tokenizer)?) {
    steps += 1
    guard token >= 0 else {
      isFinite = false
      isDone = true
      return
    }
    if stopTokens.contains(token) {
      isDone = true
    } else {
      generated.append(token)
      isDone = generated.count == maximumNewTokens
    }
    guard let tokenizer, isDone || !until.isEmpty else { return }
    let all = tokenizer.decode(generated)
    let stop = firstStop(until.map { Array($0.utf8) }, in: Array(all.utf8))
    if stop != nil { isDone = true }
    if isDone { text = stop.map { String(decoding: all.utf8.prefix($0), as: UTF8.self) } ?? all }
  }

  /// Nil when the model gave no numbers.
  var answer: RequestScorer.Answer? {
    isFinite ? .generation(generated, text: text) : nil
  }
}
