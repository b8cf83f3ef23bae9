import ErrorReporting
import TensorStorage

// Mamba2's state space recurrence (arXiv:2405.21060), chunkwise.
//
//   S_t = a_t S_{t-1} + dt_t B_t x_t^T,     y_t = S_t^T C_t,     log a_t = rate dt_t <= 0
//
// B sequences, T tokens, H heads of P channels in G groups of R = H / G, state size N, Q tokens a
// chunk. B and C belong to a group, the gate to a head. Inside a chunk b_t is the running sum of
// log a and gamma its value at the end:
//
//   M[t, s] = (C_t . B_s) exp(b_t - b_s) dt_s, s <= t
//   y  = exp(b) (C S) + M x,     S' = exp(gamma) S + B^T (exp(gamma - b) dt x)
//
// The heads of a group lie side by side in the state, `[B, G, N, R, P]`: `C S` and `B^T (...)` are one
// wide product for all of them, and `C B^T` is computed once for the group. `b_t - b_s` is the sum of
// the log gates between, never a difference of two large sums, and no exponent is positive: gates of
// any strength are exact and nothing overflows.
//
// Work divides over (sequence, chunk, heads) for what is inside chunks and over (sequence, group,
// block of columns) for the state, both cut by the sizes only.

/// Sizes of a state space recurrence.
public struct SSDDims: Sendable {
  /// Sequences, `B`.
  public var batch: Int
  /// Tokens of each sequence, `T`.
  public var length: Int
  /// Heads, `H`.
  public var heads: Int
  /// Channels a head, `P`.
  public var headDim: Int
  /// Groups of heads that share `B` and `C`, `G`.
  public var groups: Int
  /// State size, `N`.
  public var stateSize: Int
  /// Floats from one token's row to the next in x, B, C and their gradients.
  public var inputStride: Int

  /// Tokens a chunk, `Q`.
  public static let chunk = 64

  /// Tasks inside chunks that are wanted, so that many threads can share them evenly.
  private static let wantedTasks = 128

  /// Describes a recurrence; `groups` divides `heads`.
  public init(
    batch: Int, length: Int, heads: Int, headDim: Int, groups: Int, stateSize: Int,
    inputStride: Int
  ) {
    require(heads % groups == 0, "\(groups) groups do not divide \(heads) heads")
    self.batch = batch
    self.length = length
    self.heads = heads
    self.headDim = headDim
    self.groups = groups
    self.stateSize = stateSize
    self.inputStride = inputStride
  }

  /// Chunks of a sequence.
  public var chunks: Int { (length + Self.chunk - 1) / Self.chunk }

  /// Floats of a state: `B * N * H * P`.
  public var stateCount: Int { batch * stateSize * width }

  /// Multiplications and additions of one token, matrix products only.
  public var flopsPerToken: Int {
    2 * (2 * stateSize * width + Self.chunk * (groups * stateSize + width))
  }

  var rows: Int { batch * length }
  /// All heads' channels.
  var width: Int { heads * headDim }
  /// Heads of a group, `R`.
  var groupHeads: Int { heads / groups }
  /// Columns of a group's state, `R * P`.
  var groupWidth: Int { groupHeads * headDim }

  /// Heads of one task inside a chunk.
  var taskHeads: Int { min(max(batch * chunks * heads / Self.wantedTasks, 1), groupHeads) }
  /// Tasks that share a group.
  var groupTasks: Int { (groupHeads + taskHeads - 1) / taskHeads }

  /// One of the tasks inside a span's chunks.
  @inline(__always)
  func chunkTask(_ task: Int, in span: Range<Int>) -> SSDTask {
    let part = task % groupTasks
    let group = task / groupTasks % groups
    let chunk = span.lowerBound + task / groupTasks / groups % span.count
    let sequence = task / groupTasks / groups / span.count
    let first = group * groupHeads + part * taskHeads
    return SSDTask(
      index: task, sequence: sequence, chunk: chunk, row: sequence * length + chunk * Self.chunk,
      count: min(Self.chunk, length - chunk * Self.chunk), group: group,
      heads: first..<min(first + taskHeads, (group + 1) * groupHeads), isFirstOfGroup: part == 0)
  }
}

/// Some heads of one group in one chunk.
struct SSDTask {
  /// The task's number among those that run together.
  let index: Int
  let sequence: Int
  let chunk: Int
  /// First row in `[B * T]`.
  let row: Int
  /// Tokens, at most `SSDDims.chunk`.
  let count: Int
  let group: Int
  let heads: Range<Int>
  /// Whether this task does what is done once for a group and chunk.
  let isFirstOfGroup: Bool
}

/// Inputs of the recurrence.
public struct SSDInputs {
  /// `[B, T, H, P]`, rows `inputStride` apart.
  public var x: Floats
  /// Time steps `[B, T, H]`, at least 0.
  public var dt: Floats
  /// Decay a unit of time, `-exp(A_log)`, `[H]`.
  public var rate: Floats
  /// `[B, T, G, N]`, rows `inputStride` apart.
  public var b: Floats
  /// `[B, T, G, N]`, rows `inputStride` apart.
  public var c: Floats
  /// Where documents begin: there the state starts from zeros.
  public var history: DocumentHistory

  /// Names the arrays.
  public init(
    x: Floats, dt: Floats, rate: Floats, b: Floats, c: Floats, history: DocumentHistory = .none
  ) {
    (self.x, self.dt, self.rate, self.b, self.c) = (x, dt, rate, b, c)
    self.history = history
  }
}

/// Runs the recurrence.
///
/// fp32; agrees with the token loop in `Double` (`ReferenceKernels.RecurrentSSD`) to about 1e-6 of
/// the largest output. With parts it costs `2 N P` floating-point operations more for each token and head.
///
/// - Parameters:
///   - x: what the recurrence reads.
///   - start: the state `[B, G, N, H / G, P]` before these tokens; see `ChunkedRecurrence.run`.
///   - y: `[B, T, H, P]`, overwritten; without Mamba2's `D` term.
///   - final: `[B, G, N, H / G, P]`, overwritten with the state after these tokens; may be `start`.
///   - part: the part of a shared sequence that these tokens are, or nil.
///   - plan: where scratch is taken from.
///   - dims: sizes.
public func chunkSSDForward(
  _ x: SSDInputs, start: Floats, into y: Floats, final: Floats, _ part: SegmentPart?,
  _ plan: inout MemoryPlan, dims: SSDDims
) {
  dims.run(x, start: start, into: y, final: final, part, &plan)
}

extension SSDDims: ChunkedRecurrence {
  /// Tasks inside one chunk of all sequences.
  public var tasksPerChunk: Int { batch * groups * groupTasks }
  /// The cut of the states' columns into tasks.
  public var columnBlocks: ColumnBlocks { ColumnBlocks(sets: batch * groups, width: groupWidth) }
  /// `exp(gamma)` of each channel.
  public var transitionCount: Int { batch * width }

  /// Takes what a pass keeps between its phases.
  public func scratch(_ plan: inout MemoryPlan, backward: Bool) -> SSDScratch {
    SSDScratch(&plan, self, backward: backward)
  }

  /// Some columns of the state of a (sequence, group), in `[B, G, N, R, P]`.
  @inline(__always)
  public func state(_ base: Floats, _ task: StateTask) -> Matrix {
    Matrix(
      base + task.set * stateSize * groupWidth + task.columns.lowerBound, stateSize,
      task.columns.count, stride: groupWidth)
  }

  /// Gates and weighted inputs of a task's heads, and `C B^T` of its group.
  public func prepare(_ x: SSDInputs, _ s: SSDScratch, task: Int) {
    prepareChunk(x, s, chunkTask(task, in: 0..<chunks), self)
  }

  /// `y = C S`.
  @inline(__always)
  public func read(
    _ state: Matrix, chunk: Int, _ task: StateTask, _ x: SSDInputs, _ s: SSDScratch,
    into y: Floats
  ) {
    serialProduct(states(x.c, task.set, chunk), state, into: channels(y, chunk, task))
  }

  /// `S = exp(gamma) S + B^T (exp(gamma - b) dt x)`.
  @inline(__always)
  public func advance(
    _ state: Matrix, over chunk: Int, _ task: StateTask, _ x: SSDInputs, _ s: SSDScratch
  ) {
    scaleColumns(state, by: chunkDecay(s, chunk, task))
    serialProduct(
      states(x.b, task.set, chunk).transposed, channels(s.inputs, chunk, task), into: state,
      accumulate: true)
  }

  /// `y = exp(b) y + M x`.
  public func finishOutputs(_ x: SSDInputs, _ s: SSDScratch, into y: Floats) {
    parallelFor(chunks * tasksPerChunk, (x, s, y, self)) { job, task in
      let (x, s, y, dims) = job
      finishChunk(x, s, y, dims.chunkTask(task, in: 0..<dims.chunks), dims)
    }
  }

  /// Decays of the columns of a set's state, `[B, H, P]`.
  public struct Transition: StateTransition {
    let decay: Floats
    let groupWidth: Int

    /// `end += state diag(decay)`, in both directions.
    @inline(__always)
    public func carry(
      _ state: Matrix, accumulatingInto end: Matrix, _ task: StateTask,
      _ direction: FoldDirection
    ) {
      addScaledColumns(
        state, by: decay + task.set * groupWidth + task.columns.lowerBound, into: end)
    }
  }

  /// The decays of one part.
  @inline(__always)
  public func transition(_ base: Floats) -> Transition {
    Transition(decay: base, groupWidth: groupWidth)
  }

  /// The product of all chunks' `exp(gamma)`.
  public func storeTransition(_ s: SSDScratch, into base: Floats) {
    for b in 0..<batch {
      totalDecay(
        s.decay + b * chunks * width, chunks: chunks, width: width, into: base + b * width)
    }
  }
}

/// `y = exp(b) y + M x`: from the state's share of the output to the whole.
private func finishChunk(
  _ x: SSDInputs, _ s: SSDScratch, _ y: Floats, _ task: SSDTask, _ dims: SSDDims
) {
  scaleHeads(dims.channels(y, task, task.heads), by: s.fromStart, task, dims)
  let memory = s.memory(task, dims)
  let mixing = Matrix(memory.mixing, task.count, task.count, stride: SSDDims.chunk)
  for head in task.heads {
    fillMixing(memory, x, s.product(task, dims), head, task, dims)
    serialProduct(
      mixing, dims.inputs(x.x, task, head..<(head + 1)),
      into: dims.channels(y, task, head..<(head + 1)), accumulate: true)
  }
}

extension SSDDims {
  /// The heads' columns of the state of a task's sequence and group.
  @inline(__always)
  func state(_ base: Floats, _ task: SSDTask, _ heads: Range<Int>) -> Matrix {
    let first = (heads.lowerBound - task.group * groupHeads) * headDim
    return state(
      base,
      StateTask(
        set: task.sequence * groups + task.group, columns: first..<(first + heads.count * headDim)))
  }

  /// First row and tokens of a chunk of a (sequence, group).
  @inline(__always)
  private func span(_ set: Int, _ chunk: Int) -> (row: Int, count: Int) {
    let first = chunk * Self.chunk
    return (set / groups * length + first, min(Self.chunk, length - first))
  }

  /// A chunk's rows of B or C.
  @inline(__always)
  func states(_ base: Floats, _ set: Int, _ chunk: Int) -> Matrix {
    let (row, count) = span(set, chunk)
    return Matrix(
      base + row * inputStride + set % groups * stateSize, count, stateSize, stride: inputStride)
  }

  /// A chunk's rows of B or C.
  @inline(__always)
  func states(_ base: Floats, _ task: SSDTask) -> Matrix {
    states(base, task.sequence * groups + task.group, task.chunk)
  }

  /// A chunk's rows and some of a group's columns of a dense `[B, T, H, P]`.
  @inline(__always)
  func channels(_ base: Floats, _ chunk: Int, _ task: StateTask) -> Matrix {
    let (row, count) = span(task.set, chunk)
    return Matrix(
      base + row * width + task.set % groups * groupWidth + task.columns.lowerBound, count,
      task.columns.count, stride: width)
  }

  /// A chunk's rows and some heads' columns of a dense `[B, T, H, P]`.
  @inline(__always)
  func channels(_ base: Floats, _ task: SSDTask, _ heads: Range<Int>) -> Matrix {
    Matrix(
      base + task.row * width + heads.lowerBound * headDim, task.count, heads.count * headDim,
      stride: width)
  }

  /// A chunk's rows and some heads' columns of x or its gradient.
  @inline(__always)
  func inputs(_ base: Floats, _ task: SSDTask, _ heads: Range<Int>) -> Matrix {
    Matrix(
      base + task.row * inputStride + heads.lowerBound * headDim, task.count,
      heads.count * headDim, stride: inputStride)
  }

  /// `exp(gamma)` of a chunk for each column of a group's state.
  @inline(__always)
  func chunkDecay(_ s: SSDScratch, _ chunk: Int, _ task: StateTask) -> Floats {
    s.decay + (task.set / groups * chunks + chunk) * width + task.set % groups * groupWidth
      + task.columns.lowerBound
  }
}
