import TensorStorage

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

/// Sizes of a gated-linear-attention recurrence.
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

  /// A chunk of the sequence and head of a task on the state.
  @inline(__always)
  func chunk(_ chunk: Int, _ task: StateTask) -> GLAChunk {
    chunkTask(task.set * chunks + chunk, in: 0..<chunks)
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

/// What a pass keeps between its phases.
public struct GLAScratch {
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
  /// Gradient of `A`, `[B, T, H, C]`; backward only.
  let dattention: Floats

  init(_ plan: inout MemoryPlan, _ dims: GLADims, backward: Bool) {
    let (keys, squares) = (dims.rows * dims.keyStride, dims.rows * dims.heads * GLADims.chunk)
    cumulative = plan.take(keys)
    remaining = plan.take(keys)
    queries = plan.take(keys)
    self.keys = plan.take(keys)
    attention = plan.take(squares)
    decay = plan.take(dims.batch * dims.chunks * dims.keyStride)
    dattention = plan.take(backward ? squares : 0)
  }
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
/// the largest output. With parts it costs `2 K V` floating-point operations more for each token and head.
///
/// - Parameters:
///   - x: queries, keys, values and log gates.
///   - start: the state `[B, H, K, V]` before these tokens; see `ChunkedRecurrence.run`.
///   - o: `[B, T, H, V]`, overwritten.
///   - final: `[B, H, K, V]`, overwritten with the state after these tokens; may be `start`.
///   - part: the part of a shared sequence that these tokens are, or nil.
///   - plan: where scratch is taken from.
///   - dims: the sizes.
public func chunkGLAForward(
  _ x: GLAInputs, start: Floats, into o: Floats, final: Floats, _ part: SegmentPart?,
  _ plan: inout MemoryPlan, dims: GLADims
) {
  dims.run(x, start: start, into: o, final: final, part, &plan)
}

extension GLADims: ChunkedRecurrence {
  /// Tasks inside one chunk of all sequences.
  public var tasksPerChunk: Int { batch * heads }
  /// The cut of the states' value columns into tasks.
  public var columnBlocks: ColumnBlocks { ColumnBlocks(sets: batch * heads, width: valueDim) }
  /// `exp(gamma)` of each key channel.
  public var transitionCount: Int { batch * keyStride }

  /// Takes what a pass keeps between its phases.
  public func scratch(_ plan: inout MemoryPlan, backward: Bool) -> GLAScratch {
    GLAScratch(&plan, self, backward: backward)
  }

  /// Some columns of the state of a (sequence, head) in `[B, H, K, V]`.
  @inline(__always)
  public func state(_ base: Floats, _ task: StateTask) -> Matrix {
    Matrix(
      base + task.set * headState + task.columns.lowerBound, keyDim, task.columns.count,
      stride: valueDim)
  }

  /// Gates, weighted queries and keys, and `A` of one chunk.
  public func prepare(_ x: GLAInputs, _ s: GLAScratch, task: Int) {
    prepareChunk(x, s, chunkTask(task, in: 0..<chunks), self)
  }

  /// `o = q~ S + A v`.
  @inline(__always)
  public func read(
    _ state: Matrix, chunk: Int, _ task: StateTask, _ x: GLAInputs, _ s: GLAScratch,
    into o: Floats
  ) {
    let chunk = self.chunk(chunk, task)
    let output = values(o, chunk, task.columns)
    serialProduct(keys(s.queries, chunk), state, into: output)
    serialProduct(
      square(s.attention, chunk), values(x.v, chunk, task.columns), into: output,
      accumulate: true)
  }

  /// `S = diag(exp(gamma)) S + k-^T v`.
  @inline(__always)
  public func advance(
    _ state: Matrix, over chunk: Int, _ task: StateTask, _ x: GLAInputs, _ s: GLAScratch
  ) {
    let chunk = self.chunk(chunk, task)
    scaleRows(state, by: decay(s, chunk))
    serialProduct(
      keys(s.keys, chunk).transposed, values(x.v, chunk, task.columns), into: state,
      accumulate: true)
  }

  /// Decays of the rows of a set's state, `[B, H, K]`.
  public struct Transition: StateTransition {
    let decay: Floats
    let keyDim: Int

    /// `end += diag(decay) state`, in both directions.
    @inline(__always)
    public func carry(
      _ state: Matrix, accumulatingInto end: Matrix, _ task: StateTask,
      _ direction: FoldDirection
    ) {
      addScaledRows(state, by: decay + task.set * keyDim, into: end)
    }
  }

  /// The decays of one part.
  @inline(__always)
  public func transition(_ base: Floats) -> Transition {
    Transition(decay: base, keyDim: keyDim)
  }

  /// The product of all chunks' `exp(gamma)`.
  public func storeTransition(_ s: GLAScratch, into base: Floats) {
    for b in 0..<batch {
      totalDecay(
        s.decay + b * chunks * keyStride, chunks: chunks, width: keyStride,
        into: base + b * keyStride)
    }
  }
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
