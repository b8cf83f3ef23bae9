import ErrorReporting
import TensorStorage

// A recurrence over tokens in chunks: inside a chunk it is a few matrix products, between chunks a state
// moves on. The driver knows how work is cut, in which order states and gradients go over the chunks, how
// much of them is in memory at a time, and what ranks that share a sequence tell each other. What happens
// inside a chunk, and how a state goes over one, is the recurrence's.
//
//   forward    prepare -> [parts: local state, gather, fold] -> states and outputs
//   backward   prepare -> [parts: local gradient, gather, fold] -> for each span of chunks, last to first:
//              states and their gradients, then gradients inside its chunks

/// One task on the states: some columns of the state of one set.
///
/// A set is what has a state of its own, a head of one sequence or a group of heads. Every column of a state
/// moves on by itself, so a single wide state fills all threads.
public struct StateTask: Sendable {
  /// Which set, `sequence * (sets of a sequence) + ...`.
  public let set: Int
  /// Its columns.
  public let columns: Range<Int>

  /// Names the columns of a set.
  @inline(__always)
  public init(set: Int, columns: Range<Int>) { (self.set, self.columns) = (set, columns) }
}

/// How a part of a sequence carries a state over itself: `S_end = T S_start + S_local`.
///
/// A diagonal decay is one number a channel, the delta rule's a matrix a head.
public protocol StateTransition {
  /// `end += T state`, or for gradients `end += T^T state`.
  ///
  /// - Parameters:
  ///   - state: some columns of the state of a set.
  ///   - end: the same columns, other memory.
  ///   - task: which set and columns they are.
  ///   - direction: `forward` for states, `backward` for gradients of states.
  func carry(
    _ state: Matrix, accumulatingInto end: Matrix, _ task: StateTask, _ direction: FoldDirection)
}

/// A recurrence with a matrix-valued state, in chunks of tokens.
///
/// Functions that take a task run on any thread, many at a time; tasks write disjoint memory. What they
/// compute must depend on sizes and data only. No chunk is empty; the last one may be short.
public protocol ChunkedRecurrence {
  /// What it reads.
  associatedtype Inputs
  /// Where the gradients of that go.
  associatedtype Gradients
  /// What it keeps between the phases of a pass.
  associatedtype Scratch
  /// How a part of a sequence carries a state over itself.
  associatedtype Transition: StateTransition

  // Sizes.

  /// Chunks of a sequence.
  var chunks: Int { get }
  /// Tasks inside one chunk of all sequences.
  var tasksPerChunk: Int { get }
  /// The cut of all states into tasks.
  var columnBlocks: ColumnBlocks { get }
  /// Floats of the states of all sequences.
  var stateCount: Int { get }
  /// Floats of one part's transitions of all sequences.
  var transitionCount: Int { get }

  /// Takes what a pass keeps between its phases.
  func scratch(_ plan: inout MemoryPlan, backward: Bool) -> Scratch

  /// The columns of a task in states of all sequences.
  func state(_ base: Floats, _ task: StateTask) -> Matrix

  /// The transitions of one part in `transitionCount` floats.
  func transition(_ base: Floats) -> Transition

  // Forward.

  /// What is inside chunks and needs no state, for one of `chunks * tasksPerChunk` tasks.
  func prepare(_ x: Inputs, _ s: Scratch, task: Int)

  /// What `state`, at the start of a chunk, gives to the chunk's outputs.
  func read(
    _ state: Matrix, chunk: Int, _ task: StateTask, _ x: Inputs, _ s: Scratch, into o: Floats)

  /// Moves a state over a chunk.
  func advance(
    _ state: Matrix, over chunk: Int, _ task: StateTask, _ x: Inputs, _ s: Scratch)

  /// After all of `read`: what the outputs still lack.
  func finishOutputs(_ x: Inputs, _ s: Scratch, into o: Floats)

  // Backward.

  /// The same as `prepare`, and what depends on the gradient of the output.
  func prepareBackward(_ dout: Floats, _ x: Inputs, _ s: Scratch, task: Int)

  /// What `dstate`, the gradient of the state at a chunk's end, gives to gradients column by column.
  func readBackward(
    _ dstate: Matrix, chunk: Int, _ task: StateTask, _ dout: Floats, _ s: Scratch,
    into gradients: Gradients)

  /// Moves the gradient of a state back over a chunk.
  func retreat(
    _ dstate: Matrix, over chunk: Int, _ task: StateTask, _ dout: Floats, _ x: Inputs,
    _ s: Scratch)

  /// Gradients inside chunks, for one of `states.span.count * tasksPerChunk` tasks.
  func chunkBackward(
    _ dout: Floats, _ x: Inputs, _ s: Scratch, _ states: SpanStates, task: Int,
    into gradients: Gradients)

  /// After all tasks of a span: sums over tasks.
  func finishSpan(_ s: Scratch, _ span: Range<Int>, into gradients: Gradients)

  /// After all spans: sums over chunks.
  func finishGradients(_ s: Scratch, into gradients: Gradients)

  // Parts.

  /// The transition of all chunks together, after `prepare`.
  func storeTransition(_ s: Scratch, into base: Floats)
}

extension ChunkedRecurrence {
  /// Nothing is lacking.
  @inline(__always)
  public func finishOutputs(_ x: Inputs, _ s: Scratch, into o: Floats) {}

  /// Nothing column by column.
  @inline(__always)
  public func readBackward(
    _ dstate: Matrix, chunk: Int, _ task: StateTask, _ dout: Floats, _ s: Scratch,
    into gradients: Gradients
  ) {}

  /// No sums.
  @inline(__always)
  public func finishSpan(_ s: Scratch, _ span: Range<Int>, into gradients: Gradients) {}

  /// No sums.
  @inline(__always)
  public func finishGradients(_ s: Scratch, into gradients: Gradients) {}

  /// The cut of the backward pass.
  public var spans: ChunkSpans { ChunkSpans(chunks: chunks, tasksPerChunk: tasksPerChunk) }
}

// MARK: - Passes

extension ChunkedRecurrence {
  /// Runs the recurrence over a sequence, or over this rank's part of it.
  ///
  /// - Parameters:
  ///   - x: what it reads.
  ///   - start: the state before these tokens; of a part overwritten with that, from `final`.
  ///   - o: the outputs, overwritten.
  ///   - final: the state after these tokens, which may be `start`'s memory; of a part in, the state
  ///     before the first part, out, after the last one.
  ///   - part: the part that these tokens are; nil when they are the whole.
  ///   - plan: where scratch is taken from; with a measuring plan nothing is computed.
  public func run(
    _ x: Inputs, start: Floats, into o: Floats, final: Floats, _ part: SegmentPart?,
    _ plan: inout MemoryPlan
  ) {
    let mark = plan.used
    let s = scratch(&plan, backward: false)
    plan.run { prepare(x, s) }
    var end = final
    if let part {
      require(start != final, "a part's start has memory of its own")
      let shares = shares(&plan, parts: part.parts)
      plan.run { storeLocalState(x, s, into: shares, part: part.index) }
      part.gather(shares)
      plan.run { fold(shares, .forward, part: part.index, stateInPlace: final, into: start) }
      end = shares.state(of: part.index)
    }
    plan.run { output(x, s, start: start, into: o, final: end) }
    plan.rewind(to: mark)
  }

  /// Gradients of `run`.
  ///
  /// Recomputes what is inside chunks and the states at chunk boundaries.
  ///
  /// - Parameters:
  ///   - dout: the gradient of the outputs.
  ///   - x: what it read.
  ///   - start: the state before these tokens.
  ///   - dstate: in, the gradient of the state after these tokens, of a part that after the last part; out,
  ///     of the state before these tokens, of a part before the first one.
  ///   - gradients: where the gradients of `x` go.
  ///   - part: the part that these tokens are; nil when they are the whole.
  ///   - plan: where scratch is taken from; with a measuring plan nothing is computed.
  public func runBackward(
    _ dout: Floats, _ x: Inputs, start: Floats, dstateInPlace dstate: Floats,
    into gradients: Gradients, _ part: SegmentPart?, _ plan: inout MemoryPlan
  ) {
    if !plan.isMeasuring {
      requireDisjoint(start, dstate, count: stateCount, "a state and its gradient")
    }
    let mark = plan.used
    let s = scratch(&plan, backward: true)
    let states = spanStates(&plan)
    plan.run { prepareBackward(dout, x, s) }
    var dend = dstate
    if let part {
      let shares = shares(&plan, parts: part.parts)
      dend = plan.take(stateCount)
      plan.run { storeLocalGradient(dout, x, s, into: shares, part: part.index) }
      part.gather(shares)
      plan.run { fold(shares, .backward, part: part.index, stateInPlace: dstate, into: dend) }
    }
    plan.run {
      backward(dout, x, s, states, start: start, dstateInPlace: dend, into: gradients)
    }
    plan.rewind(to: mark)
  }

  /// Takes memory for the states of one span, and those at the starts of all.
  public func spanStates(_ plan: inout MemoryPlan) -> SpanStates {
    SpanStates(&plan, spans, stateCount: stateCount)
  }

  /// Floats of scratch of `run` over a whole sequence.
  public var forwardScratchCount: Int {
    var plan = MemoryPlan.measuring()
    _ = scratch(&plan, backward: false)
    return plan.peak
  }

  /// Floats of scratch of `runBackward` over a whole sequence.
  public var backwardScratchCount: Int {
    var plan = MemoryPlan.measuring()
    _ = scratch(&plan, backward: true)
    _ = spanStates(&plan)
    return plan.peak
  }
}
