// Gated linear attention (arXiv:2312.06635), chunkwise.
//
//   S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T,     o_t = scale S_t^T q_t
//
// B sequences, T tokens, H heads, K key channels a head, V value channels a head, C tokens a chunk,
// N chunks. Inside a chunk b_t is the running sum of g (b_t <= 0) and gamma its value at the end:
//
//   q~ = scale q exp(b),   k- = k exp(gamma - b),   A[t, s] = sum_c scale q_t k_s exp(b_t - b_s), s <= t
//   o  = q~ S + A v,       S' = diag(exp(gamma)) S + k-^T v
//
// No exponent is ever positive, except where the whole chunk's decay is mild (gamma >= -20 in every
// channel): then A = tril(q~ (k exp(-b))^T) is one matrix product. Otherwise A is summed pair by pair,
// b_t - b_s as the sum of the gates between, which stays exact where b itself has grown large. The
// choice is made for each chunk and head from the data, so it is the same on any number of threads
// and ranks. gamma - b is summed from the chunk's end for the same reason.
//
// Work divides over (sequence, head, chunk) for what is inside chunks and over (sequence, head, block
// of value columns) for the state, so that a merged layer with one head fills all threads too.

/// Sizes of a gated-linear-attention recurrence, and where its scratch lies.
public struct GLADims: Sendable {
  /// Sequences, `B`.
  public var batch: Int
  /// Tokens of each sequence, `T`.
  public var length: Int
  /// Heads, `H`.
  public var heads: Int
  /// Key channels a head, `K`.
  public var keyDim: Int
  /// Value channels a head, `V`.
  public var valueDim: Int
  /// Factor on the queries; `K^-0.5` in every published model.
  public var scale: Float

  /// Tokens a chunk, `C`.
  public static let chunk = 64

  /// The largest decay of a chunk, as `-gamma`, for which `exp(-b)` is formed.
  public static let mildDecay: Float = 20

  /// Describes `[batch, length, heads, keyDim or valueDim]`.
  public init(
    batch: Int, length: Int, heads: Int, keyDim: Int, valueDim: Int, scale: Float? = nil
  ) {
    self.batch = batch
    self.length = length
    self.heads = heads
    self.keyDim = keyDim
    self.valueDim = valueDim
    self.scale = scale ?? 1 / Float(keyDim).squareRoot()
  }

  /// Chunks of a sequence, `N`.
  public var chunks: Int { (length + Self.chunk - 1) / Self.chunk }

  /// Floats of a state: `B * H * K * V`.
  public var stateCount: Int { batch * heads * keyDim * valueDim }

  /// Multiplications and additions of one token, matrix products only.
  public var flopsPerToken: Int {
    2 * (2 * heads * keyDim * valueDim + Self.chunk * (keyStride + valueStride))
  }

  var rows: Int { batch * length }
  var keyStride: Int { heads * keyDim }
  var valueStride: Int { heads * valueDim }
  var headState: Int { keyDim * valueDim }

  /// The cut of the state's value columns into tasks.
  var columnBlocks: ColumnBlocks { ColumnBlocks(sets: batch * heads, width: valueDim) }

  /// Tasks inside chunks, `B * H * N`, and on the state, `B * H * column blocks`.
  var chunkTasks: Int { batch * heads * chunks }
  var columnTasks: Int { columnBlocks.count }

  /// Floats of scratch for the forward pass.
  public var forwardScratchCount: Int {
    // b, gamma - b, q~, k- and A over all rows, exp(gamma) a chunk.
    rows * (4 * keyStride + heads * Self.chunk) + batch * chunks * keyStride
  }

  /// The cut of the backward pass.
  var spans: ChunkSpans { ChunkSpans(chunks: chunks, tasksPerChunk: batch * heads) }

  /// Floats of scratch for the backward pass: the forward's, dA, the states at the starts of spans, and
  /// the state and its gradient at every chunk boundary of one span.
  public var backwardScratchCount: Int {
    forwardScratchCount + rows * heads * Self.chunk
      + (spans.startCount + 2 * (spans.length + 1)) * stateCount
  }

  func scratch(_ base: Floats) -> GLAScratch {
    let keys = rows * keyStride
    let attention = rows * heads * Self.chunk
    let starts = base + forwardScratchCount + attention
    let states = starts + spans.startCount * stateCount
    return GLAScratch(
      cumulative: base, remaining: base + keys, queries: base + 2 * keys, keys: base + 3 * keys,
      attention: base + 4 * keys, decay: base + 4 * keys + attention,
      dattention: base + forwardScratchCount, starts: starts, states: states,
      dstates: states + (spans.length + 1) * stateCount)
  }

  /// The chunk, head and rows of a task inside chunks.
  @inline(__always)
  func chunkTask(_ task: Int) -> GLAChunk { chunkTask(task, in: 0..<chunks) }

  /// The chunk, head and rows of one of the `B * H * span.count` tasks inside a span's chunks.
  @inline(__always)
  func chunkTask(_ task: Int, in span: Range<Int>) -> GLAChunk {
    let chunk = span.lowerBound + task % span.count
    let head = task / span.count % heads
    let sequence = task / span.count / heads
    let first = chunk * Self.chunk
    return GLAChunk(
      sequence: sequence, head: head, index: chunk, row: sequence * length + first,
      count: min(Self.chunk, length - first))
  }

  /// Chunk `n` of the sequence and head of a task on the state.
  @inline(__always)
  func chunk(_ n: Int, _ task: (sequence: Int, head: Int, columns: Range<Int>)) -> GLAChunk {
    chunkTask((task.sequence * heads + task.head) * chunks + n)
  }

  /// Sequence, head and value columns of a task on the state.
  @inline(__always)
  func columnTask(_ task: Int) -> (sequence: Int, head: Int, columns: Range<Int>) {
    let (pair, columns) = columnBlocks[task]
    return (pair / heads, pair % heads, columns)
  }

  /// Offset of a (sequence, head)'s state in `[B, H, K, V]`.
  @inline(__always)
  func stateOffset(_ sequence: Int, _ head: Int) -> Int {
    (sequence * heads + head) * headState
  }
}

/// One chunk of one head.
struct GLAChunk {
  let sequence: Int
  let head: Int
  let index: Int
  /// First row in `[B * T]`.
  let row: Int
  /// Tokens, at most `GLADims.chunk`.
  let count: Int
}

/// Parts of the scratch memory.
struct GLAScratch {
  /// `b`, `[B, T, H, K]`.
  let cumulative: Floats
  /// `gamma - b`, `[B, T, H, K]`.
  let remaining: Floats
  /// `q~`, `[B, T, H, K]`.
  let queries: Floats
  /// `k-`, `[B, T, H, K]`.
  let keys: Floats
  /// `A`, `[B, T, H, C]`.
  let attention: Floats
  /// `exp(gamma)`, `[B, N, H, K]`.
  let decay: Floats
  /// Gradient of `A`.
  let dattention: Floats
  /// States at the starts of spans but the first, `[spans - 1, B, H, K, V]`.
  let starts: Floats
  /// States at the starts of a span's n chunks and at its end, `[n + 1, B, H, K, V]`.
  let states: Floats
  /// Gradients of the same.
  let dstates: Floats
}

/// Inputs of the recurrence.
public struct GLAInputs {
  /// Queries `[B, T, H, K]`, not scaled.
  public var q: Floats
  /// Keys `[B, T, H, K]`.
  public var k: Floats
  /// Values `[B, T, H, V]`.
  public var v: Floats
  /// Log forget gates `[B, T, H, K]`, at most 0.
  public var g: Floats

  /// Names the arrays.
  public init(q: Floats, k: Floats, v: Floats, g: Floats) {
    self.q = q
    self.k = k
    self.v = v
    self.g = g
  }
}

/// Runs the recurrence.
///
/// fp32; agrees with the token loop in `Double` (`ReferenceKernels.recurrentGLA`) to about 1e-6 of
/// the largest output.
///
/// - Parameters:
///   - x: queries, keys, values and log gates.
///   - initialState: `[B, H, K, V]`.
///   - o: `[B, T, H, V]`, overwritten.
///   - finalState: `[B, H, K, V]`, overwritten; may be `initialState`.
///   - scratch: `dims.forwardScratchCount` floats.
///   - dims: the sizes.
public func chunkGLAForward(
  _ x: GLAInputs, initialState: Floats, into o: Floats, finalState: Floats, scratch: Floats,
  dims: GLADims
) {
  chunkGLAPrepare(x, scratch: scratch, dims: dims)
  chunkGLAOutput(
    x, initialState: initialState, into: o, finalState: finalState, scratch: scratch, dims: dims)
}

/// First phase of `chunkGLAForward`: what is inside chunks and needs no state.
///
/// - Parameters:
///   - x: queries, keys, values and log gates.
///   - scratch: `dims.forwardScratchCount` floats, to be kept for the next phase.
///   - dims: the sizes.
public func chunkGLAPrepare(_ x: GLAInputs, scratch: Floats, dims: GLADims) {
  parallelFor(dims.chunkTasks, (x, dims.scratch(scratch), dims)) { job, task in
    let (x, s, dims) = job
    prepareChunk(x, s, dims.chunkTask(task), dims)
  }
}

/// Second phase of `chunkGLAForward`, with its parameters: states and outputs.
public func chunkGLAOutput(
  _ x: GLAInputs, initialState: Floats, into o: Floats, finalState: Floats, scratch: Floats,
  dims: GLADims
) {
  let s = dims.scratch(scratch)
  parallelFor(dims.columnTasks, (x, s, initialState, o, finalState, dims)) { job, task in
    let (x, s, initialState, o, finalState, dims) = job
    let task = dims.columnTask(task)
    let state = dims.state(finalState, task)
    if initialState != finalState { copyRows(dims.state(initialState, task), into: state) }
    for n in 0..<dims.chunks {
      let chunk = dims.chunk(n, task)
      let v = dims.values(x.v, chunk, task.columns)
      let output = dims.values(o, chunk, task.columns)
      serialProduct(dims.keys(s.queries, chunk), state, into: output)
      serialProduct(dims.square(s.attention, chunk), v, into: output, accumulate: true)
      advance(state, by: chunk, v, s, dims)
    }
  }
}

/// `S = diag(exp(gamma)) S + k-^T v` for one chunk and block of columns.
@inline(__always)
func advance(
  _ state: Matrix, by chunk: GLAChunk, _ v: Matrix, _ s: GLAScratch, _ dims: GLADims
) {
  scaleRows(state, by: dims.decay(s, chunk))
  serialProduct(dims.keys(s.keys, chunk).transposed, v, into: state, accumulate: true)
}

extension GLADims {
  /// A chunk's rows of an array `[B, T, H, K]`.
  @inline(__always)
  func keys(_ base: Floats, _ chunk: GLAChunk) -> Matrix {
    Matrix(
      base + chunk.row * keyStride + chunk.head * keyDim, chunk.count, keyDim, stride: keyStride)
  }

  /// A chunk's rows and some columns of an array `[B, T, H, V]`.
  @inline(__always)
  func values(_ base: Floats, _ chunk: GLAChunk, _ columns: Range<Int>) -> Matrix {
    Matrix(
      base + chunk.row * valueStride + chunk.head * valueDim + columns.lowerBound, chunk.count,
      columns.count, stride: valueStride)
  }

  /// A chunk's rows of an array `[B, T, H, C]`, as the square inside the chunk.
  @inline(__always)
  func square(_ base: Floats, _ chunk: GLAChunk) -> Matrix {
    Matrix(
      base + (chunk.row * heads + chunk.head * chunk.count) * Self.chunk, chunk.count, chunk.count,
      stride: Self.chunk)
  }

  /// `exp(gamma)` of a chunk, `[K]`.
  @inline(__always)
  func decay(_ s: GLAScratch, _ chunk: GLAChunk) -> Floats {
    s.decay + (chunk.sequence * chunks + chunk.index) * keyStride + chunk.head * keyDim
  }
}
