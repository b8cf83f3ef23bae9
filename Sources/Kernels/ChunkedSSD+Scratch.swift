import TensorStorage

/// What a pass keeps between its phases.
public struct SSDScratch {
  /// `exp(b)`, `[B, T, H]`.
  let fromStart: Floats
  /// `exp(gamma - b)`, `[B, T, H]`.
  let toEnd: Floats
  /// `exp(gamma)` of each chunk, repeated for each channel, `[B, chunks, H, P]`.
  let decay: Floats
  /// `exp(gamma - b) dt x`, `[B, T, H, P]`.
  let inputs: Floats
  /// `C B^T`, a square for each (sequence, chunk, group).
  let products: Floats
  /// Areas of the tasks inside chunks that run together: all, in the backward pass those of a span.
  let areas: Floats
  /// `exp(b) dy`, `[B, T, H, P]`; this and what follows only in the backward pass.
  let doutputs: Floats
  /// Gradients of `A_log`, one row a chunk, `[B, chunks, H]`.
  let drates: Floats

  /// Floats from one task's area to the next.
  private let areaStride: Int

  private static let square = SSDDims.chunk * SSDDims.chunk

  init(_ plan: inout MemoryPlan, _ dims: SSDDims, backward: Bool) {
    let (gates, channels) = (dims.rows * dims.heads, dims.rows * dims.width)
    areaStride =
      SSDTaskMemory.lineCount * SSDDims.chunk
      + (backward ? 3 * Self.square + 3 * SSDDims.chunk * dims.stateSize : Self.square)
    fromStart = plan.take(gates)
    toEnd = plan.take(gates)
    decay = plan.take(dims.batch * dims.chunks * dims.width)
    inputs = plan.take(channels)
    products = plan.take(dims.batch * dims.chunks * dims.groups * Self.square)
    let together = backward ? dims.spans.length : dims.chunks
    areas = plan.take(together * dims.tasksPerChunk * areaStride)
    doutputs = plan.take(backward ? channels : 0)
    drates = plan.take(backward ? dims.batch * dims.chunks * dims.heads : 0)
  }

  /// `C B^T` of a task's chunk and group, rows `SSDDims.chunk` apart, zero right of the chunk's end.
  @inline(__always)
  func product(_ task: SSDTask, _ dims: SSDDims) -> Floats {
    products + ((task.sequence * dims.chunks + task.chunk) * dims.groups + task.group)
      * Self.square
  }

  /// A task's own memory.
  @inline(__always)
  func memory(_ task: SSDTask, _ dims: SSDDims) -> SSDTaskMemory {
    SSDTaskMemory(areas + task.index * areaStride, stateSize: dims.stateSize)
  }
}

/// Memory of one task inside a chunk.
///
/// A square is `[Q, Q]`, a panel `[Q, N]`, a line `[Q]`.
struct SSDTaskMemory {
  /// Lines: sums of log gates up to the present row.
  let exponent: Floats
  /// Time steps of one head, zero behind the chunk's end.
  let steps: Floats
  /// Column sums of the pairs' gate gradients; backward only, as are the next three.
  let columns: Floats
  /// Gate gradient from pairs of tokens of the chunk.
  let pairs: Floats
  /// Gate gradient from the chunk's first state, `exp(b_t) dy_t . (C_t S)`.
  let reads: Floats
  /// Gate gradient from the chunk's last state, `exp(gamma - b_t) dt_t x_t . (B_t dS)`.
  let writes: Floats
  /// Square: the mixing matrix of one head; in the backward pass without `dt`.
  let mixing: Floats
  /// Square: `dy_t . x_s` of one head, then the gate gradient of each pair; and all that follows:
  /// backward only.
  let dmixing: Floats
  /// Square: gradient of `C B^T`, summed over the task's heads.
  let dproduct: Floats
  /// Panel: `exp(b) dy S^T` of one head.
  let panel: Floats
  /// Panel: the task's share of the gradient of B.
  let db: Floats
  /// Panel: the task's share of the gradient of C.
  let dc: Floats

  static let lineCount = 6

  @inline(__always)
  init(_ base: Floats, stateSize: Int) {
    let line = SSDDims.chunk
    let panelCount = line * stateSize
    exponent = base
    steps = base + line
    columns = base + 2 * line
    pairs = base + 3 * line
    reads = base + 4 * line
    writes = base + 5 * line
    mixing = base + Self.lineCount * line
    dmixing = mixing + line * line
    dproduct = dmixing + line * line
    panel = dproduct + line * line
    db = panel + panelCount
    dc = db + panelCount
  }
}
