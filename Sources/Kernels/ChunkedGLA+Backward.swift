import TensorStorage

/// Where the gradients of the recurrence's inputs go; all are overwritten.
public struct GLAGradients {
  /// `[B, T, H, K]`.
  public var dq: Floats
  /// `[B, T, H, K]`.
  public var dk: Floats
  /// `[B, T, H, V]`; must not be `v`.
  public var dv: Floats
  /// `[B, T, H, K]`: gradient of the log gates.
  public var dg: Floats

  /// Names the arrays.
  public init(dq: Floats, dk: Floats, dv: Floats, dg: Floats) {
    self.dq = dq
    self.dk = dk
    self.dv = dv
    self.dg = dg
  }
}

/// Gradients of `chunkGLAForward`.
///
/// Recomputes what is inside chunks and the states at chunk boundaries, then
///
///     G = diag(exp(gamma)) G' + q~^T do     (G' at the chunk's end, G at its start)
///     dA = tril(do v^T),   dv = A^T do + k- G'
///
/// and per chunk the gradients of q, k and g (`chunkKeyGradients`).
///
/// - Parameters:
///   - dout: `[B, T, H, V]`, gradient of the output.
///   - x: queries, keys, values and log gates, as in forward.
///   - start: `[B, H, K, V]`, the state before these tokens.
///   - dstate: `[B, H, K, V]`: in, the gradient of the final state; out, of the first; see
///     `ChunkedRecurrence.runBackward`.
///   - gradients: overwritten.
///   - part: the part of a shared sequence that these tokens are, or nil.
///   - plan: where scratch is taken from.
///   - dims: the sizes.
public func chunkGLABackward(
  _ dout: Floats, _ x: GLAInputs, start: Floats, dstateInPlace dstate: Floats,
  into gradients: GLAGradients, _ part: SegmentPart?, _ plan: inout MemoryPlan,
  dims: GLADims
) {
  dims.runBackward(
    dout, x, start: start, dstateInPlace: dstate, into: gradients, part, &plan)
}

extension GLADims {
  /// What forward prepares, and `dA = tril(do v^T)`.
  public func prepareBackward(_ dout: Floats, _ x: GLAInputs, _ s: GLAScratch, task: Int) {
    let chunk = chunkTask(task, in: 0..<chunks)
    prepareChunk(x, s, chunk, self)
    let da = square(s.dattention, chunk)
    let all = 0..<valueDim
    serialProduct(values(dout, chunk, all), values(x.v, chunk, all).transposed, into: da)
    keepLowerTriangle(da)
  }

  /// `dv = A^T do + k- G'`.
  @inline(__always)
  public func readBackward(
    _ dstate: Matrix, chunk: Int, _ task: StateTask, _ dout: Floats, _ s: GLAScratch,
    into gradients: GLAGradients
  ) {
    let chunk = self.chunk(chunk, task)
    let dv = values(gradients.dv, chunk, task.columns)
    serialProduct(
      square(s.attention, chunk).transposed, values(dout, chunk, task.columns), into: dv)
    serialProduct(keys(s.keys, chunk), dstate, into: dv, accumulate: true)
  }

  /// `G = diag(exp(gamma)) G' + q~^T do`, G' becoming G.
  @inline(__always)
  public func retreat(
    _ dstate: Matrix, over chunk: Int, _ task: StateTask, _ dout: Floats, _ x: GLAInputs,
    _ s: GLAScratch
  ) {
    let chunk = self.chunk(chunk, task)
    scaleRows(dstate, by: decay(s, chunk))
    serialProduct(
      keys(s.queries, chunk).transposed, values(dout, chunk, task.columns), into: dstate,
      accumulate: true)
  }

  /// Gradients of q, k and g of one chunk.
  public func chunkBackward(
    _ dout: Floats, _ x: GLAInputs, _ s: GLAScratch, _ states: SpanStates, task: Int,
    into gradients: GLAGradients
  ) {
    chunkKeyGradients(
      x, dout, gradients, s, states, chunkTask(task, in: states.span), self)
  }
}
