// What happens inside one chunk of one head: gates, the C x C products, and their gradients.

/// Whether every channel's decay over the chunk is mild enough for `exp(-b)`.
@inline(__always)
func isMild(_ chunk: GLAChunk, _ s: GLAScratch, _ dims: GLADims) -> Bool {
  let b = dims.keys(s.cumulative, chunk)
  let last = b.row(chunk.count - 1)
  var smallest: Float = 0
  for c in 0..<dims.keyDim where !(last[c] >= smallest) { smallest = last[c] }
  return smallest >= -GLADims.mildDecay
}

/// Fills `b`, `gamma - b`, `q~`, `k-`, `exp(gamma)` and `A` of one chunk.
func prepareChunk(_ x: GLAInputs, _ s: GLAScratch, _ chunk: GLAChunk, _ dims: GLADims) {
  accumulateGates(x.g, s, chunk, dims)
  let (q, k) = (dims.keys(x.q, chunk), dims.keys(x.k, chunk))
  let (qs, ks) = (dims.keys(s.queries, chunk), dims.keys(s.keys, chunk))
  let b = dims.keys(s.cumulative, chunk)
  let attention = dims.square(s.attention, chunk)
  for t in 0..<chunk.count {
    let (b, q, qs) = (b.row(t), q.row(t), qs.row(t))
    for c in 0..<dims.keyDim { qs[c] = dims.scale * q[c] * fastExp(b[c]) }
  }
  if isMild(chunk, s, dims) {
    scaleKeys(k, byExpOf: b, sign: -1, into: ks)
    serialProduct(qs, ks.transposed, into: attention)
  } else {
    attendPairwise(q, k, dims.keys(x.g, chunk), dims.scale, into: attention)
  }
  keepLowerTriangle(attention)
  scaleKeys(k, byExpOf: dims.keys(s.remaining, chunk), sign: 1, into: ks)
}

/// `y = x exp(sign * exponent)`, element by element.
@inline(__always)
private func scaleKeys(_ x: Matrix, byExpOf exponent: Matrix, sign: Float, into y: Matrix) {
  for t in 0..<x.rows {
    let (x, e, y) = (x.row(t), exponent.row(t), y.row(t))
    for c in 0..<exponent.columns { y[c] = x[c] * fastExp(sign * e[c]) }
  }
}

/// Running sums of the gates from both ends of the chunk, and `exp(gamma)`.
@inline(__always)
private func accumulateGates(_ g: Floats, _ s: GLAScratch, _ chunk: GLAChunk, _ dims: GLADims) {
  let g = dims.keys(g, chunk)
  let (b, rest) = (dims.keys(s.cumulative, chunk), dims.keys(s.remaining, chunk))
  let last = chunk.count - 1
  b.row(0).update(from: g.row(0), count: dims.keyDim)
  for t in 1..<max(chunk.count, 1) {
    let (before, now, g) = (b.row(t - 1), b.row(t), g.row(t))
    for c in 0..<dims.keyDim { now[c] = before[c] + g[c] }
  }
  rest.row(last).update(repeating: 0, count: dims.keyDim)
  for t in (0..<last).reversed() {
    let (after, now, g) = (rest.row(t + 1), rest.row(t), g.row(t + 1))
    for c in 0..<dims.keyDim { now[c] = after[c] + g[c] }
  }
  let (gamma, decay) = (b.row(last), dims.decay(s, chunk))
  for c in 0..<dims.keyDim { decay[c] = fastExp(gamma[c]) }
}

/// Zeroes everything above the diagonal.
@inline(__always)
func keepLowerTriangle(_ square: Matrix) {
  for t in 0..<square.rows {
    let row = square.row(t)
    for s in (t + 1)..<max(square.columns, t + 1) { row[s] = 0 }
  }
}

/// Channels that the pairwise loops take at a time.
private let pairChannels = 64

/// `A[t, s] = scale sum_c q_t k_s exp(g_{s+1} + ... + g_t)` for `s <= t`: safe for gates of any
/// strength, and exact where they are mild.
private func attendPairwise(
  _ q: Matrix, _ k: Matrix, _ g: Matrix, _ scale: Float, into attention: Matrix
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * pairChannels) { memory in
    guard let exponent = memory.baseAddress else { return }
    let products = exponent + pairChannels
    for t in 0..<q.rows { attention.row(t).update(repeating: 0, count: t + 1) }
    for first in stride(from: 0, to: q.columns, by: pairChannels) {
      let n = min(pairChannels, q.columns - first)
      for t in 0..<q.rows {
        let qt = q.row(t) + first
        exponent.update(repeating: 0, count: n)
        for s in (0...t).reversed() {
          let (ks, gs) = (k.row(s) + first, g.row(s) + first)
          for c in 0..<n {
            products[c] = qt[c] * ks[c] * fastExp(exponent[c])
            exponent[c] += gs[c]
          }
          attention.row(t)[s] += scale * total(products, n)
        }
      }
    }
  }
}

/// Gradients of q, k and g of one chunk, from `dA` and the states and state gradients around it.
///
///     dq = scale exp(b) (do S^T)      + sum_s dA[t, s] scale k_s exp(b_t - b_s)
///     dk = exp(gamma - b) (v G^T)     + sum_t dA[t, s] scale q_t exp(b_t - b_s)
///     dg_t = sum_{u >= t} (q_u dq_u - k_u dk_u) + rowsum(G S')
///
/// with S the state at the chunk's start, S' at its end and G the gradient of S'.
func chunkKeyGradients(
  _ x: GLAInputs, _ dout: Floats, _ gradients: GLAGradients, _ s: GLAScratch,
  _ states: SpanStates, _ chunk: GLAChunk, _ dims: GLADims
) {
  let all = 0..<dims.valueDim
  let task = StateTask(set: chunk.sequence * dims.heads + chunk.head, columns: all)
  let start = dims.state(states.start(of: chunk.index), task)
  let end = dims.state(states.end(of: chunk.index), task)
  let dend = dims.state(states.dend(of: chunk.index), task)
  let (dq, dk) = (dims.keys(gradients.dq, chunk), dims.keys(gradients.dk, chunk))
  let da = dims.square(s.dattention, chunk)
  serialProduct(dims.values(dout, chunk, all), start.transposed, into: dq)
  serialProduct(dims.values(x.v, chunk, all), dend.transposed, into: dk)
  let b = dims.keys(s.cumulative, chunk)
  let (q, k) = (dims.keys(x.q, chunk), dims.keys(x.k, chunk))
  if isMild(chunk, s, dims) {
    // In the units of q~ = scale q exp(b) and k^ = k exp(-b), for which k-'s memory is free now.
    let (qs, ks) = (dims.keys(s.queries, chunk), dims.keys(s.keys, chunk))
    scaleKeys(k, byExpOf: b, sign: -1, into: ks)
    serialProduct(da, ks, into: dq, accumulate: true)
    scaleQueryGradients(dq, b, dims)
    scaleColumns(dk, by: dims.decay(s, chunk))
    serialProduct(da.transposed, qs, into: dk, accumulate: true)
    scaleKeys(dk, byExpOf: b, sign: -1, into: dk)
  } else {
    scaleQueryGradients(dq, b, dims)
    scaleKeys(dk, byExpOf: dims.keys(s.remaining, chunk), sign: 1, into: dk)
    attendPairwiseBackward(q, k, dims.keys(x.g, chunk), da, dims.scale, dq, dk)
  }
  let keys = GLAKeyRows(q: q, k: k, g: dims.keys(x.g, chunk), dq: dq, dk: dk)
  gateGradients(keys, end, dend, into: dims.keys(gradients.dg, chunk))
}

@inline(__always)
private func scaleQueryGradients(_ dq: Matrix, _ b: Matrix, _ dims: GLADims) {
  for t in 0..<dq.rows {
    let (dq, b) = (dq.row(t), b.row(t))
    for c in 0..<dims.keyDim { dq[c] *= dims.scale * fastExp(b[c]) }
  }
}

private func attendPairwiseBackward(
  _ q: Matrix, _ k: Matrix, _ g: Matrix, _ da: Matrix, _ scale: Float, _ dq: Matrix, _ dk: Matrix
) {
  withUnsafeTemporaryAllocation(of: Float.self, capacity: pairChannels) { memory in
    guard let exponent = memory.baseAddress else { return }
    for first in stride(from: 0, to: q.columns, by: pairChannels) {
      let n = min(pairChannels, q.columns - first)
      for t in 0..<q.rows {
        let (qt, dqt) = (q.row(t) + first, dq.row(t) + first)
        exponent.update(repeating: 0, count: n)
        for s in (0...t).reversed() {
          let (ks, gs, dks) = (k.row(s) + first, g.row(s) + first, dk.row(s) + first)
          let d = scale * da.row(t)[s]
          for c in 0..<n {
            let e = d * fastExp(exponent[c])
            exponent[c] += gs[c]
            dqt[c] += e * ks[c]
            dks[c] += e * qt[c]
          }
        }
      }
    }
  }
}

/// A chunk's rows of the arrays that have the keys' shape.
private struct GLAKeyRows {
  let q, k, g, dq, dk: Matrix
}

/// The reverse running sum of `q dq - k dk`, started from `rowsum(G S')` at the chunk's end.
///
/// It starts from 0 again before the first row of a document, whose gate nothing passes.
private func gateGradients(
  _ x: GLAKeyRows, _ end: Matrix, _ dend: Matrix, into dg: Matrix
) {
  let last = dg.row(dg.rows - 1)
  for c in 0..<dg.columns { last[c] = dotProduct(end.row(c), dend.row(c), end.columns) }
  for t in (0..<dg.rows).reversed() {
    let (now, later) = (dg.row(t), dg.row(min(t + 1, dg.rows - 1)))
    if x.g.row(t)[0] == DocumentHistory.gate {
      now.update(repeating: 0, count: dg.columns)
      continue
    }
    let (q, k, dq, dk) = (x.q.row(t), x.k.row(t), x.dq.row(t), x.dk.row(t))
    for c in 0..<dg.columns { now[c] = later[c] + q[c] * dq[c] - k[c] * dk[c] }
  }
}
