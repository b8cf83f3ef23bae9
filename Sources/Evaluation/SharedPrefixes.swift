import Kernels
import LanguageModels
import Layers
import TensorStorage

/// Runs a model over many sequences and computes their common prefixes only once.
///
/// Sequences are sorted, so that those with a common prefix are neighbours. The state after the
/// prefix is kept while its continuations are computed, and copied for each of them.
final class SharedPrefixes {
  /// The length in tokens from which a common prefix is worth a copy of the state.
  static let worthwhile = 32
  /// Starts within starts whose states may be kept at one time.
  private let maximumDepth: Int

  /// The same for a model.
  static func maximumDepth(_ model: LanguageModel) -> Int {
    min(EvaluatedModel.affordableStates(model), 8)
  }

  /// A state after some tokens, which sequences go on from.
  struct Start {
    /// Tokens read.
    let count: Int
    /// The state after them, of one sequence.
    let state: FloatBuffer
  }

  let evaluated: EvaluatedModel
  /// Tokens that went through the model.
  private(set) var computedTokens = 0
  /// Whether somebody asked to end (`EvaluatedModel.isInterrupted`): nothing more is computed.
  private(set) var isGivenUp = false

  private let parts: [Int]
  private var last: SegmentActivations?

  init(_ model: EvaluatedModel) {
    evaluated = model
    parts = model.model.blocks.flatMap(\.stateParts)
    maximumDepth = Self.maximumDepth(model.model)
  }

  /// Calls `body` with groups of sequences that continue from the same state, and that state, until
  /// every sequence was in one group.
  ///
  /// - Parameters:
  ///   - prefixes: of each sequence, the tokens that may be shared.
  ///   - body: called with indices of `prefixes`, longest first.
  func forEachStart(of prefixes: [[Int32]], _ body: ([Int], Start) throws -> Void) rethrows {
    let sorted = prefixes.indices.sorted {
      prefixes[$0] == prefixes[$1]
        ? $0 < $1 : prefixes[$0].lexicographicallyPrecedes(prefixes[$1])
    }
    let start = Start(count: 0, state: newState(batch: 1))
    zero(start.state.pointer, count: start.state.count)
    try visit(sorted[...], prefixes, start, depth: 0, body)
  }

  private func visit(
    _ group: ArraySlice<Int>, _ prefixes: [[Int32]], _ start: Start, depth: Int,
    _ body: ([Int], Start) throws -> Void
  ) rethrows {
    guard let first = group.first, let last = group.last else { return }
    var start = start
    let common = commonCount(prefixes[first], prefixes[last])
    if common > start.count && group.count > 1 {
      let state = newState(batch: 1)
      copy(start.state.pointer, count: state.count, into: state.pointer)
      advance(state, through: prefixes[first][start.count..<common])
      start = Start(count: common, state: state)
    }
    var alone: [Int] = []
    var rest = group
    while let next = rest.first {
      let along = rest.prefix {
        commonCount(prefixes[next], prefixes[$0]) >= start.count + Self.worthwhile
      }
      if along.count > 1 && depth < maximumDepth {
        try visit(along, prefixes, start, depth: depth + 1, body)
        rest = rest.dropFirst(along.count)
      } else {
        alone.append(next)
        rest = rest.dropFirst()
      }
    }
    guard !alone.isEmpty else { return }
    try body(alone.sorted { (prefixes[$0].count, $1) > (prefixes[$1].count, $0) }, start)
  }

  private func commonCount(_ a: [Int32], _ b: [Int32]) -> Int {
    var count = 0
    while count < min(a.count, b.count), a[count] == b[count] { count += 1 }
    return count
  }

  /// Sequences of `length` more tokens that run side by side.
  func batch(length: Int) -> Int {
    EvaluatedModel.batch(
      evaluated.model, length: length, segmentLength: evaluated.segmentLength)
  }

  // MARK: States

  func newState(batch: Int) -> FloatBuffer {
    FloatBuffer(count: evaluated.model.stateCount(batch: batch))
  }

  /// Copies the state of one sequence to place `index` of those of `batch` sequences.
  func place(_ state: FloatBuffer, at index: Int, of batch: Int, in states: FloatBuffer) {
    var (source, target) = (state.pointer, states.pointer)
    for count in parts {
      copy(source, count: count, into: target + index * count)
      source += count
      target += batch * count
    }
  }

  /// Moves the state of one sequence on.
  func advance(_ state: FloatBuffer, through tokens: ArraySlice<Int32>) {
    var rest = tokens
    while !rest.isEmpty {
      let part = Array(rest.prefix(evaluated.segmentLength))
      rest = rest.dropFirst(part.count)
      forward(part, batch: 1, state: state, wantsOutput: false) { _, _ in }
    }
  }

  /// Runs `tokens` `[batch, T]` from `state`, and hands the activations to `body`, unless it is given up.
  func forward(
    _ tokens: [Int32], batch: Int, state: FloatBuffer, wantsOutput: Bool = true,
    _ body: (SegmentActivations, SegmentDims) -> Void
  ) {
    isGivenUp = isGivenUp || evaluated.isInterrupted?() == true
    guard !isGivenUp else { return }
    let dims = SegmentDims(batch: batch, length: tokens.count / batch)
    let activations = activations(for: dims)
    tokens.withUnsafeBufferPointer { tokens in
      guard let base = tokens.baseAddress else { return }
      evaluated.model.forward(
        SegmentTokens(base), parameters: evaluated.parameters.pointer,
        stateInPlace: state.pointer, activations, dims: dims, wantsOutput: wantsOutput)
    }
    computedTokens += dims.rows
    body(activations, dims)
  }

  private func activations(for dims: SegmentDims) -> SegmentActivations {
    if let last, last.dims.batch == dims.batch, last.dims.length >= dims.length { return last }
    last = nil
    let made = SegmentActivations(evaluated.model, dims: dims, trains: false)
    last = made
    return made
  }
}
