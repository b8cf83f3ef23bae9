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

/// Sizes of a state space recurrence, and where its scratch lies.
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
    precondition(heads % groups == 0, "\(groups) groups do not divide \(heads) heads")
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

  /// The cut of the state's columns into tasks.
  var columnBlocks: ColumnBlocks { ColumnBlocks(sets: batch * groups, width: groupWidth) }

  /// Heads of one task inside a chunk.
  var taskHeads: Int { min(max(batch * chunks * heads / Self.wantedTasks, 1), groupHeads) }
  /// Tasks that share a group.
  var groupTasks: Int { (groupHeads + taskHeads - 1) / taskHeads }
  /// Tasks inside chunks.
  var chunkTasks: Int { batch * chunks * groups * groupTasks }

  /// The cut of the backward pass.
  var spans: ChunkSpans {
    ChunkSpans(chunks: chunks, tasksPerChunk: batch * groups * groupTasks)
  }

  /// Tasks inside a span's chunks.
  func chunkTasks(in span: Range<Int>) -> Int { batch * span.count * groups * groupTasks }

  /// A task inside a chunk.
  @inline(__always)
  func chunkTask(_ task: Int) -> SSDTask { chunkTask(task, in: 0..<chunks) }

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

  /// Floats of scratch for the forward pass.
  public var forwardScratchCount: Int { SSDScratch.count(self, backward: false) }

  /// Floats of scratch for the backward pass, with states of one span of chunks (`ChunkSpans`).
  public var backwardScratchCount: Int { SSDScratch.count(self, backward: true) }
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
/// the largest output.
///
/// - Parameters:
///   - x: what the recurrence reads.
///   - initialState: `[B, G, N, H / G, P]`.
///   - y: `[B, T, H, P]`, overwritten; without Mamba2's `D` term.
///   - finalState: `[B, G, N, H / G, P]`, overwritten; may be `initialState`.
///   - scratch: `dims.forwardScratchCount` floats.
///   - dims: sizes.
public func chunkSSDForward(
  _ x: SSDInputs, initialState: Floats, into y: Floats, finalState: Floats, scratch: Floats,
  dims: SSDDims
) {
  chunkSSDPrepare(x, scratch: scratch, dims: dims)
  chunkSSDOutput(
    x, initialState: initialState, into: y, finalState: finalState, scratch: scratch, dims: dims)
}

/// First phase of `chunkSSDForward`: what is inside chunks and needs no state.
///
/// - Parameters:
///   - x: what the recurrence reads.
///   - scratch: `dims.forwardScratchCount` floats, to be kept for the next phase.
///   - dims: sizes.
public func chunkSSDPrepare(_ x: SSDInputs, scratch: Floats, dims: SSDDims) {
  let s = SSDScratch(scratch, dims, backward: false)
  parallelFor(dims.chunkTasks, (x, s, dims)) { job, task in
    let (x, s, dims) = job
    prepareChunk(x, s, dims.chunkTask(task), dims)
  }
}

/// Second phase of `chunkSSDForward`, with its parameters: states and outputs.
public func chunkSSDOutput(
  _ x: SSDInputs, initialState: Floats, into y: Floats, finalState: Floats, scratch: Floats,
  dims: SSDDims
) {
  let s = SSDScratch(scratch, dims, backward: false)
  parallelFor(dims.columnBlocks.count, (x, s, initialState, y, finalState, dims)) { job, task in
    let (x, s, initialState, y, finalState, dims) = job
    let (set, columns) = dims.columnBlocks[task]
    let state = dims.state(finalState, set, columns)
    if initialState != finalState {
      copyRows(dims.state(initialState, set, columns), into: state)
    }
    for chunk in 0..<dims.chunks {
      serialProduct(
        dims.states(x.c, set, chunk), state, into: dims.channels(y, set, chunk, columns))
      advance(state, x, s, set, chunk, columns, dims)
    }
  }
  parallelFor(dims.chunkTasks, (x, s, y, dims)) { job, task in
    let (x, s, y, dims) = job
    finishChunk(x, s, y, dims.chunkTask(task), dims)
  }
}

/// `S = exp(gamma) S + B^T (exp(gamma - b) dt x)` for one chunk and block of columns.
@inline(__always)
func advance(
  _ state: Matrix, _ x: SSDInputs, _ s: SSDScratch, _ set: Int, _ chunk: Int,
  _ columns: Range<Int>, _ dims: SSDDims
) {
  scaleColumns(state, by: dims.chunkDecay(s, set, chunk, columns))
  serialProduct(
    dims.states(x.b, set, chunk).transposed, dims.channels(s.inputs, set, chunk, columns),
    into: state, accumulate: true)
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
  /// Some columns of the state of a (sequence, group), in `[B, G, N, R, P]`.
  @inline(__always)
  func state(_ base: Floats, _ set: Int, _ columns: Range<Int>) -> Matrix {
    Matrix(
      base + set * stateSize * groupWidth + columns.lowerBound, stateSize, columns.count,
      stride: groupWidth)
  }

  /// The heads' columns of the state of a task's sequence and group.
  @inline(__always)
  func state(_ base: Floats, _ task: SSDTask, _ heads: Range<Int>) -> Matrix {
    let first = (heads.lowerBound - task.group * groupHeads) * headDim
    return state(
      base, task.sequence * groups + task.group, first..<(first + heads.count * headDim))
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
  func channels(_ base: Floats, _ set: Int, _ chunk: Int, _ columns: Range<Int>) -> Matrix {
    let (row, count) = span(set, chunk)
    return Matrix(
      base + row * width + set % groups * groupWidth + columns.lowerBound, count, columns.count,
      stride: width)
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
  func chunkDecay(_ s: SSDScratch, _ set: Int, _ chunk: Int, _ columns: Range<Int>) -> Floats {
    s.decay + (set / groups * chunks + chunk) * width + set % groups * groupWidth
      + columns.lowerBound
  }
}
